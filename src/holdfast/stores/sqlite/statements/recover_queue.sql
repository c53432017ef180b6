-- Create a row for a queue that only rows of jobs refer to, under an unused name. It is paused until an operator resumes it.
INSERT INTO queue(id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes)
VALUES (?1, 'recovered-' || ?1 || '-' || lower(hex(randomblob(4))), '{}', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
