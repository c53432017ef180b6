SELECT state FROM schedule WHERE name > ? ORDER BY name LIMIT ?
