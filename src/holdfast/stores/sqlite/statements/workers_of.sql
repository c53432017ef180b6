-- The running workers of a queue, the newest first.
SELECT id, registered_at FROM worker w
WHERE state = 'running' AND EXISTS (SELECT 1 FROM json_each(w.queues) WHERE value = ?) ORDER BY registered_at DESC LIMIT ?
