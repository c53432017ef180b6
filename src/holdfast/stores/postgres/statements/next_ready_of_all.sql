-- The same for a queue with more priorities in use than are recorded.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0,
       j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY s.priority, s.job) - j.size < 16777216 THEN j.payload END
FROM (SELECT * FROM ready WHERE queue = $1 ORDER BY priority, job LIMIT $2) s JOIN job j ON j.id = s.job ORDER BY s.priority, s.job
