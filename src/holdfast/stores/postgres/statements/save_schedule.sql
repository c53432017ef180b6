INSERT INTO schedule(name, try_at, paused, queue, state) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET try_at = excluded.try_at, paused = excluded.paused, queue = excluded.queue, state = excluded.state
