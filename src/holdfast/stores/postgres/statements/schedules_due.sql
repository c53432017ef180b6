SELECT name, state FROM schedule WHERE NOT paused AND try_at <= $1 ORDER BY try_at LIMIT $2 FOR UPDATE SKIP LOCKED
