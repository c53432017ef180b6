DELETE FROM ended WHERE job = ? AND state = ?
