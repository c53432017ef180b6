-- Create a row for a queue that only rows of jobs refer to, under an unused name. It is paused until an operator resumes it.
INSERT INTO queue(id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes, seen_at, ready_floors)
OVERRIDING SYSTEM VALUE
VALUES ($1, 'recovered-' || $1::int::text || '-' || substr(md5(random()::text), 1, 8), '{}', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL) ON CONFLICT DO NOTHING
