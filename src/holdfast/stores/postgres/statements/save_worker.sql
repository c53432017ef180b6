INSERT INTO worker(id, name, queues, state, registered_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET state = excluded.state
