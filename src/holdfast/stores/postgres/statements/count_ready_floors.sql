-- Where each priority of a queue begins, from the rows: for queues with at most $1 priorities in use.
UPDATE queue q SET ready_floors = l.floors FROM (
  SELECT n.id, coalesce(jsonb_object_agg(r.priority, r.job) FILTER (WHERE r.job IS NOT NULL), '{}') AS floors
  FROM queue n LEFT JOIN (SELECT queue, priority, min(job) AS job FROM ready GROUP BY queue, priority) r ON r.queue = n.id
  GROUP BY n.id HAVING count(*) <= $1::bigint
) l WHERE l.id = q.id
