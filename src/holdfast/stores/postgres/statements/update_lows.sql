-- As update_queue.sql.
UPDATE queue q SET lows = v.lows FROM unnest($1::int[], $2::bytea[]) v(id, lows)
CROSS JOIN LATERAL (SELECT n.ctid FROM queue n WHERE n.id BETWEEN v.id AND v.id ORDER BY n.id DESC LIMIT 1) newest
WHERE q.ctid = newest.ctid
