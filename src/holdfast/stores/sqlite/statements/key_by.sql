SELECT id, name, value, used_at FROM access_key WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1
