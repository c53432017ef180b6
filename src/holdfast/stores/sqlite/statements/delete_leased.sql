DELETE FROM leased WHERE fence = ? AND job = ? AND attempt = ?
