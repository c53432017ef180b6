INSERT INTO worker(id, name, queues, state, registered_at, types) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET state = excluded.state
