-- The first ready jobs for one worker only: $1 worker, $2 queue, $3 how many. The comparison of rows is always true; only the index that begins with
-- the worker has it as a condition. Without it the jobs of all workers are walked where PostgreSQL counted those of one.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0,
       j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY s.line, s.queue, s.priority, s.job) - j.size < 16777216 THEN j.payload END, s.line
FROM (SELECT r.*, h.worker AS line FROM unnest($1::text[], $2::int[], $3::int[]) h(worker, queue, most)
      CROSS JOIN LATERAL (SELECT t.queue, t.priority, t.job, t.ready_at, t.attempt, t.failures, t.crashes FROM ready_for t
                          WHERE t.worker = h.worker AND t.queue = h.queue AND (t.worker, t.queue) >= (h.worker, h.queue)
                          ORDER BY t.priority, t.job LIMIT h.most) r) s
JOIN job j ON j.id = s.job ORDER BY s.priority, s.job
