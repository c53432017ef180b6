SELECT name, state FROM schedule WHERE name > $1 ORDER BY name LIMIT $2
