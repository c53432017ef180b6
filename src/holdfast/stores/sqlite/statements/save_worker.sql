INSERT INTO worker(id, name, queues, state, registered_at, types) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state
