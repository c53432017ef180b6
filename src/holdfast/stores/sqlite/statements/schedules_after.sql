SELECT name, state FROM schedule WHERE name > ? ORDER BY name LIMIT ?
