-- The first ready jobs for one worker only in one queue: $1 worker, $2 queue, of $3 types, or where not $4 of all but these, $5 how many.
-- For the comparison of rows see next_ready_for.sql.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0,
       j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY s.priority, s.job) - j.size < 16777216 THEN j.payload END
FROM (SELECT t.queue, t.priority, t.job, t.ready_at, t.attempt, t.failures, t.crashes FROM ready_for t JOIN job o ON o.id = t.job
      WHERE t.worker = $1 AND t.queue = $2 AND (t.worker, t.queue) >= ($1, $2) AND (o.type = ANY($3::text[])) = $4::boolean ORDER BY t.priority, t.job LIMIT $5) s
JOIN job j ON j.id = s.job ORDER BY s.priority, s.job
