-- Ready jobs for workers that are no longer registered, in the queues that we hold.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0
FROM ready_for s JOIN job j ON j.id = s.job
WHERE s.queue = ANY($1::int[]) AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = s.worker) LIMIT $2
