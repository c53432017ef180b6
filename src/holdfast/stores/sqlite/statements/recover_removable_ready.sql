-- The same for the ready jobs of one queue, also those for one worker, for a purge.
INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
SELECT s.job, ?1, min(s.priority), 1, 0, 0, '', '"its own row was missing"', NULL, CAST('null' AS BLOB) FROM (
  SELECT job, priority FROM ready WHERE queue = ?1 UNION ALL SELECT job, priority FROM held WHERE queue = ?1
  UNION ALL SELECT job, priority FROM ready_for WHERE queue = ?1
  UNION ALL SELECT job, priority FROM waiting WHERE queue = ?1
) s WHERE s.job <= ?2 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.id = s.job) GROUP BY s.job LIMIT ?3
