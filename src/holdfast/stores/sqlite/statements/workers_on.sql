-- How many running workers a queue has, how many workers there are in all, and how many of the first take a type.
WITH w(state, types, is_on) AS (
  SELECT state, types, EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(queues) THEN queues ELSE '[]' END) WHERE value = ?1) FROM worker
)
SELECT count(*) FILTER (WHERE state = 'running' AND is_on), count(*),
  count(*) FILTER (WHERE state = 'running' AND is_on AND (types IS NULL OR EXISTS (
    SELECT 1 FROM json_each(CASE WHEN json_valid(w.types) THEN w.types ELSE '[]' END) WHERE value = ?2)))
FROM w
