-- The same for a queue with more priorities in use than are recorded: a skip scan over its priorities.
WITH RECURSIVE p(priority) AS (
  SELECT (SELECT min(priority) FROM ready WHERE queue = $1)
  UNION ALL
  SELECT (SELECT min(priority) FROM ready WHERE queue = $1 AND priority > p.priority) FROM p WHERE p.priority IS NOT NULL
)
SELECT min((SELECT ready_at FROM ready r WHERE r.queue = $1 AND r.priority = f.priority ORDER BY r.job LIMIT 1))
FROM (SELECT priority FROM p WHERE priority IS NOT NULL LIMIT 1000) f
