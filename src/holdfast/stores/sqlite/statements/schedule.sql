SELECT name, state, try_at, paused FROM schedule WHERE name = ?
