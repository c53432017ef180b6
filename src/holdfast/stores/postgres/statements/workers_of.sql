-- The running workers of a queue, the newest first.
SELECT id, registered_at FROM worker WHERE state = 'running' AND queues::jsonb ? $1 ORDER BY registered_at DESC LIMIT $2
