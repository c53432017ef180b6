SELECT name, state FROM schedule WHERE name = ?
