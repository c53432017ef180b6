SELECT name, state, try_at, paused FROM schedule WHERE NOT paused AND try_at <= $1 ORDER BY try_at LIMIT $2 FOR UPDATE SKIP LOCKED
