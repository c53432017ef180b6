SELECT id, name, value, used_at FROM access_key ORDER BY name
