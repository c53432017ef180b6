-- The first job of each of several lines of one priority of a queue, with its content, and only the columns in which such jobs differ:
-- ?1 queue, ?2 priority, ?3 their keys, a JSON list.
SELECT j.id, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at, s.ready_at, j.extras,
       j.type, j.content_type, j.payload
FROM json_each(?3) p CROSS JOIN ready s ON s.queue = ?1 AND s.priority = ?2 AND s.job = (
  SELECT r.job FROM ready r INDEXED BY ready_fair WHERE r.queue = ?1 AND r.priority = ?2 AND r.fair = p.value AND r.fair IS NOT NULL ORDER BY r.job LIMIT 1)
CROSS JOIN job j ON j.id = s.job
