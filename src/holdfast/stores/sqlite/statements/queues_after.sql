SELECT id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes
FROM queue WHERE name > ? ORDER BY name LIMIT ?
