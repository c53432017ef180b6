SELECT name, state FROM schedule WHERE paused = 0 AND try_at <= ? ORDER BY try_at LIMIT ?
