-- The same for the jobs of one queue that ended in a state, for a purge.
INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
SELECT s.job, s.queue, s.priority, 1, 0, 0, '', '"its own row was missing"', NULL, CAST('null' AS BLOB)
FROM ended s WHERE s.queue = ?1 AND s.state = ?3 AND s.job <= ?2 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.id = s.job) LIMIT ?4
