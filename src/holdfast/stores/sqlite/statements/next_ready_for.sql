-- The first ready jobs for one worker only in one queue.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0,
       j.type, j.content_type, j.payload
FROM ready_for s CROSS JOIN job j ON j.id = s.job
WHERE s.worker = ? AND s.queue = ? ORDER BY s.priority, s.job LIMIT ?
