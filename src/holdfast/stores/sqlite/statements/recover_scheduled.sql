-- The same for jobs that are due.
INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
SELECT s.job, s.queue, s.priority, 1, 0, 0, '', '"its own row was missing"', NULL, CAST('null' AS BLOB)
FROM scheduled s WHERE s.ready_at <= ?1 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.id = s.job) LIMIT ?2
