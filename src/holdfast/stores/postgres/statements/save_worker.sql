INSERT INTO worker(id, name, queues, state, registered_at, types, host, pid, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET state = excluded.state
