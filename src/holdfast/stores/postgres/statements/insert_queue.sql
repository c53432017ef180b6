INSERT INTO queue(name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes, seen_at, ready_floors)
VALUES ($1, '{}', 0, $2, 0, 0, 0, 0, 0, 0, 0, 0, $2, $3) ON CONFLICT (name) DO NOTHING
RETURNING id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes, paused_types, typed, sharing, seen_at, ready_floors
