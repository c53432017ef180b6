SELECT id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes, paused_types, typed, sharing
FROM queue WHERE name > ? ORDER BY name LIMIT ?
