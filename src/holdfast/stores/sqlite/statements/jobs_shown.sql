-- Jobs in any state by their ids (?1, JSON), with their contents: of payloads larger than ?2 nothing. See `any_job`.
WITH found AS (
SELECT * FROM ended_job WHERE id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT v.* FROM leased l CROSS JOIN leased_job v ON v.fence = l.fence WHERE l.job IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT * FROM scheduled_job WHERE id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT v.* FROM job k CROSS JOIN ready_job v ON v.queue = k.queue AND v.priority = k.priority AND v.id = k.id WHERE k.id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at,
       s.ready_at, k.extras, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM job k CROSS JOIN held s ON s.queue = k.queue AND s.group_key = CASE WHEN json_valid(k.extras) THEN json_extract(k.extras, '$.group_key') END AND s.job = k.id
WHERE k.id IN (SELECT value FROM json_each(?1)) AND k.extras IS NOT NULL
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at,
       s.ready_at, k.extras, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM job k CROSS JOIN ready_for s ON s.queue = k.queue AND s.priority = k.priority AND s.job = k.id
WHERE k.id IN (SELECT value FROM json_each(?1)) AND k.extras IS NOT NULL
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, 1,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.account, 0
FROM job k CROSS JOIN waiting s ON s.queue = k.queue AND s.job = k.id
WHERE k.id IN (SELECT value FROM json_each(?1)) AND k.extras IS NOT NULL
)
SELECT v.*, j.type, j.content_type, CASE WHEN ?2 IS NULL OR j.size <= ?2 THEN j.payload ELSE x'' END FROM found v CROSS JOIN job j ON j.id = v.id
