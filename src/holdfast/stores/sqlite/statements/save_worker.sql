INSERT INTO worker(id, name, queues, state, registered_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state
