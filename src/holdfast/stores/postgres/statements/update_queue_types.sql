-- What a queue has about types. For how the row is found, see lock_queues.sql.
UPDATE queue q SET paused_types = v.paused_types, typed = v.typed
FROM unnest($1::int[], $2::text[], $3::text[]) v(id, paused_types, typed)
CROSS JOIN LATERAL (SELECT n.ctid FROM queue n WHERE n.id BETWEEN v.id AND v.id ORDER BY n.id DESC LIMIT 1) newest
WHERE q.ctid = newest.ctid
