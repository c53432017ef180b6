INSERT INTO schedule(name, try_at, paused, state) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET try_at = excluded.try_at, paused = excluded.paused, state = excluded.state
