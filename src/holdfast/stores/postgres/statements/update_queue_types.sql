-- What a queue has about types and fair keys. For how the row is found, see lock_queues.sql.
UPDATE queue q SET paused_types = v.paused_types, typed = v.typed, sharing = v.sharing
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) v(id, paused_types, typed, sharing)
CROSS JOIN LATERAL (SELECT n.ctid FROM queue n WHERE n.id BETWEEN v.id AND v.id ORDER BY n.id DESC LIMIT 1) newest
WHERE q.ctid = newest.ctid
