SELECT name, state, try_at, paused FROM schedule WHERE paused = 0 AND try_at <= ? ORDER BY try_at LIMIT ?
