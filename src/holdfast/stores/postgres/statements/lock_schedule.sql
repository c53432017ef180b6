SELECT name, state FROM schedule WHERE name = $1 FOR UPDATE
