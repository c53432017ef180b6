-- The same for jobs that are due.
INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
SELECT s.job, s.queue, s.priority, 1, 0, 0, '', '"its own row was missing"', NULL, convert_to('null', 'UTF8')
FROM scheduled s WHERE s.ready_at <= $1 AND s.ready_at >= $2 AND s.queue = ANY($3::int[]) AND NOT EXISTS (SELECT 1 FROM job j WHERE j.id = s.job)
LIMIT $4 RETURNING id
