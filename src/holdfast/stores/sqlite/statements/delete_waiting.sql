DELETE FROM waiting WHERE account = ? AND queue = ? AND job = ?
