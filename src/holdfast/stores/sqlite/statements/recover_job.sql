-- Create a row for a job that only has the row of its state, so that it can be listed, decided about and removed.
INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
SELECT s.job, s.queue, s.priority, 1, 0, 0, '', '"its own row was missing"', NULL, CAST('null' AS BLOB) FROM (
  SELECT job, queue, priority FROM ended WHERE job = ?1 UNION ALL SELECT job, queue, priority FROM leased WHERE job = ?1
  UNION ALL SELECT job, queue, priority FROM scheduled WHERE job = ?1
) s WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.id = s.job) LIMIT 1
