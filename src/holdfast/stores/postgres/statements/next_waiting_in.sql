SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, true, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, s.account, 0
FROM unnest($2::int[]) q(queue)
CROSS JOIN LATERAL (SELECT * FROM waiting w WHERE w.account = $1 AND w.queue = q.queue ORDER BY w.job LIMIT $3) s
JOIN job j ON j.id = s.job ORDER BY s.job LIMIT $3
