SELECT name FROM queue WHERE id = ?
