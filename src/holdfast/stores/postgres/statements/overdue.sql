-- Of these jobs those that wait, except held ones (see `misplaced.py`). Each is found by a full key, as in `any_job`.
SELECT v.* FROM unnest($1::bigint[]) i(job) JOIN scheduled_job v ON v.id = i.job
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, false,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM unnest($1::bigint[]) i(job) JOIN job k ON k.id = i.job JOIN ready s ON s.queue = k.queue AND s.priority = k.priority AND s.job = k.id
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, false,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM unnest($1::bigint[]) i(job) JOIN job k ON k.id = i.job JOIN ready_for s ON s.queue = k.queue AND s.priority = k.priority AND s.job = k.id
WHERE k.extras IS NOT NULL
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, true,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.account, 0
FROM unnest($1::bigint[]) i(job) JOIN job k ON k.id = i.job JOIN waiting s ON s.queue = k.queue AND s.job = k.id
