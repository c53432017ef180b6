-- When the oldest ready job of a queue became ready: the earliest among the first job of each priority (a skip scan). ?1 is the queue's name.
WITH RECURSIVE q(id) AS (SELECT id FROM queue WHERE name = ?1),
p(priority) AS (
  SELECT min(priority) FROM ready WHERE queue = (SELECT id FROM q)
  UNION ALL
  SELECT (SELECT min(priority) FROM ready WHERE queue = (SELECT id FROM q) AND priority > p.priority) FROM p WHERE p.priority IS NOT NULL LIMIT 1000
)
SELECT min((SELECT ready_at FROM ready r WHERE r.queue = (SELECT id FROM q) AND r.priority = p.priority ORDER BY r.job LIMIT 1))
FROM p WHERE p.priority IS NOT NULL
