INSERT INTO access_key(id, name, value, used_at) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET name = excluded.name, value = excluded.value, used_at = excluded.used_at
