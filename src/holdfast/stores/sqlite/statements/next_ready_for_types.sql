-- The first ready jobs for one worker only in one queue, of these types (?3, JSON), or where ?4 is 0 of all but these.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0,
       j.type, j.content_type, j.payload
FROM ready_for s CROSS JOIN job j ON j.id = s.job
WHERE s.worker = ?1 AND s.queue = ?2 AND (j.type IN (SELECT value FROM json_each(?3))) = ?4 ORDER BY s.priority, s.job LIMIT ?5
