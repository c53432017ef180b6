-- Types of which a queue that is kept by type has ready jobs, one step through the index for each.
WITH RECURSIVE t(type) AS (
  (SELECT r.type FROM ready r WHERE r.queue = $1 AND r.type IS NOT NULL ORDER BY r.type LIMIT 1)
  UNION ALL
  SELECT (SELECT r.type FROM ready r WHERE r.queue = $1 AND r.type > t.type AND r.type IS NOT NULL ORDER BY r.type LIMIT 1)
  FROM t WHERE t.type IS NOT NULL
)
SELECT type FROM t WHERE type IS NOT NULL LIMIT $2
