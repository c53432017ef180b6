-- What callers wait for: queues that may have work, and queues that may have room.
SELECT id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes FROM queue WHERE name = ANY($1::text[])
