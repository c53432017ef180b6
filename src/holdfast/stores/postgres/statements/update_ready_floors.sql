-- As update_queue.sql.
UPDATE queue q SET ready_floors = v.ready_floors::jsonb FROM unnest($1::int[], $2::text[]) v(id, ready_floors)
CROSS JOIN LATERAL (SELECT n.ctid FROM queue n WHERE n.id BETWEEN v.id AND v.id ORDER BY n.id DESC LIMIT 1) newest
WHERE q.ctid = newest.ctid
