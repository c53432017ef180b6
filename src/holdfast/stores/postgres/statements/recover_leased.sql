-- The same for jobs with an expired lease, in the queues that we hold.
INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
SELECT DISTINCT s.job, s.queue, s.priority, 1, 0, 0, '', '"its own row was missing"', NULL, convert_to('null', 'UTF8')
FROM leased s WHERE s.until <= $1 AND s.until >= $2 AND s.queue = ANY($3::int[]) AND NOT EXISTS (SELECT 1 FROM job j WHERE j.id = s.job)
LIMIT $4 RETURNING id
