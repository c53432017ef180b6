-- For how the row is found, see lock_queues.sql.
SELECT id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes, paused_types, typed, sharing, seen_at, ready_floors
FROM queue WHERE name BETWEEN $1 AND $1 ORDER BY name DESC LIMIT 1 FOR UPDATE NOWAIT
