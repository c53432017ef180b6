SELECT name FROM queue WHERE name > ? ORDER BY name LIMIT ?
