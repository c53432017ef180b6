SELECT id, name FROM queue WHERE id IN (SELECT value FROM json_each(?))
