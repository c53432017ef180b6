INSERT INTO operation(id, state, ended_at, value) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, ended_at = excluded.ended_at, value = excluded.value
