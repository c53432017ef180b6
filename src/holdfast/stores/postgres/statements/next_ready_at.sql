-- The ready jobs of one queue at these places, with their contents: $1 queue, $2 priorities, $3 jobs.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0,
       j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY s.priority, s.job) - j.size < 16777216 THEN j.payload END
FROM (SELECT r.* FROM unnest($2::bigint[], $3::bigint[]) p(priority, job)
      JOIN ready r ON r.queue = $1 AND r.priority = p.priority AND r.job = p.job) s
JOIN job j ON j.id = s.job ORDER BY s.priority, s.job
