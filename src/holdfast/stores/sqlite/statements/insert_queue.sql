INSERT INTO queue(name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes)
VALUES (?, ?, 0, ?, 0, 0, 0, 0, 0, 0, 0, 0) RETURNING id
