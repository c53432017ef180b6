UPDATE job SET priority = ?, max_attempts = ?, size = ?, extras = ? WHERE id = ?
