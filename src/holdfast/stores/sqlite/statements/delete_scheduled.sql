DELETE FROM scheduled WHERE job = ?
