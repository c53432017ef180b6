-- The ready jobs of one queue at these places, with their contents: $1 queue, $2 priorities, $3 jobs. OFFSET 0: each is found by its key, and not all
-- of the queue looked through for each, where PostgreSQL believes that the queue is short.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0,
       j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY s.priority, s.job) - j.size < 16777216 THEN j.payload END
FROM (SELECT r.* FROM unnest($2::bigint[], $3::bigint[]) p(priority, job)
      CROSS JOIN LATERAL (SELECT t.* FROM ready t WHERE t.queue = $1 AND t.priority = p.priority AND t.job = p.job OFFSET 0) r) s
JOIN job j ON j.id = s.job ORDER BY s.priority, s.job
