-- The first job of each of several lines of one priority of a queue, by their keys, a JSON list: ?1 queue, ?2 priority.
SELECT p.value, (SELECT r.job FROM ready r INDEXED BY ready_fair WHERE r.queue = ?1 AND r.priority = ?2 AND r.fair = p.value AND r.fair IS NOT NULL ORDER BY r.job LIMIT 1)
FROM json_each(?3) p
