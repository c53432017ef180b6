-- An impossible time is replaced. We hold the lock on the row; for how it is found, see lock_queues.sql.
UPDATE queue q SET settings = v.settings, paused = v.paused, scheduled = v.scheduled, ready = v.ready, leased = v.leased,
  concluded = v.concluded, dead = v.dead, cancelled = v.cancelled, bytes = v.bytes, history_bytes = v.history_bytes,
  seen_at = CASE WHEN q.seen_at > 253402300799999 THEN v.seen_at ELSE greatest(q.seen_at, v.seen_at) END, ready_floors = v.ready_floors::jsonb
FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
            $10::bigint[], $11::bigint[], $12::bigint[], $13::text[])
  v(id, settings, paused, scheduled, ready, leased, concluded, dead, cancelled, bytes, history_bytes, seen_at, ready_floors)
CROSS JOIN LATERAL (SELECT n.ctid FROM queue n WHERE n.id BETWEEN v.id AND v.id ORDER BY n.id DESC LIMIT 1) newest
WHERE q.ctid = newest.ctid
