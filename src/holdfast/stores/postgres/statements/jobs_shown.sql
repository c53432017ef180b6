-- Jobs in any state but held ones by their ids, with their contents: of payloads larger than $2 nothing. See `any_job`.
WITH found AS (
SELECT * FROM ended_job WHERE id = ANY($1::bigint[])
UNION ALL
SELECT v.* FROM leased l JOIN leased_job v ON v.fence = l.fence WHERE l.job = ANY($1::bigint[])
UNION ALL
SELECT * FROM scheduled_job WHERE id = ANY($1::bigint[])
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, false,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM job k JOIN ready s ON s.queue = k.queue AND s.priority = k.priority AND s.job = k.id WHERE k.id = ANY($1::bigint[])
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, false,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM job k JOIN ready_for s ON s.queue = k.queue AND s.priority = k.priority AND s.job = k.id
WHERE k.id = ANY($1::bigint[]) AND k.extras IS NOT NULL
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, true,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.account, 0
FROM job k JOIN waiting s ON s.queue = k.queue AND s.job = k.id
WHERE k.id = ANY($1::bigint[]) AND k.extras IS NOT NULL
)
SELECT v.*, j.type, j.content_type, CASE WHEN $2::bigint IS NULL OR j.size <= $2 THEN j.payload ELSE '' END FROM found v JOIN job j ON j.id = v.id
