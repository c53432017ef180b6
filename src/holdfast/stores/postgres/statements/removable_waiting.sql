SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, true, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, s.account, 0
FROM waiting s JOIN job j ON j.id = s.job WHERE s.queue = $1 AND s.job <= $2 LIMIT $3
