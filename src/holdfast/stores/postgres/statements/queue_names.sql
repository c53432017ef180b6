SELECT name FROM queue WHERE name > $1 ORDER BY name LIMIT $2
