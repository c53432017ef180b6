INSERT INTO access_key(id, name, value, used_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, value = excluded.value, used_at = excluded.used_at
