SELECT name, state, try_at, paused FROM schedule WHERE name > $1 ORDER BY name LIMIT $2
