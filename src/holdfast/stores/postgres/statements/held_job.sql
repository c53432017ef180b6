-- A job that waits for a slot in its group.
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, true,
       NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0
FROM job k JOIN held s ON s.queue = k.queue AND s.group_key = $2 AND s.job = k.id
WHERE k.id = $1
