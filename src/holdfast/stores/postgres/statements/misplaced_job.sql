-- A ready job with another queue, priority or group in its row than in `job`: a scan of all ready jobs, only if nothing else was found.
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, s.held,
       NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, s.account, 0
FROM job k JOIN (
  SELECT job, queue, priority, attempt, failures, crashes, ready_at, false AS held, NULL::text AS account FROM ready WHERE job = $1
  UNION ALL SELECT job, queue, priority, attempt, failures, crashes, ready_at, true, NULL FROM held WHERE job = $1
  UNION ALL SELECT job, queue, priority, attempt, failures, crashes, ready_at, false, NULL FROM ready_for WHERE job = $1
  UNION ALL SELECT job, queue, priority, attempt, failures, crashes, ready_at, true, account FROM waiting WHERE job = $1
) s ON s.job = k.id WHERE k.id = $1
