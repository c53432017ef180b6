-- Of these jobs those that wait for a slot in their group, whose key is beside them.
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, true,
       NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0
FROM unnest($1::bigint[], $2::text[]) i(job, key) JOIN job k ON k.id = i.job JOIN held s ON s.queue = k.queue AND s.group_key = i.key AND s.job = k.id
