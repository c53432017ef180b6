-- The first jobs that wait for a slot in a group. The limit is within, so that jobs are not walked from the oldest one to find them.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, true, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0
FROM (SELECT * FROM held WHERE queue = $1 AND group_key = $2 ORDER BY job LIMIT $3) s JOIN job j ON j.id = s.job ORDER BY s.job
