INSERT INTO worker(id, name, queues, state, registered_at, types, host, pid, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state
