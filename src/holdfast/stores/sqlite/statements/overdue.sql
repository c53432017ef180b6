-- Of these jobs those that wait. Each is found by a full key, as in `any_job`.
SELECT v.* FROM json_each(?1) i CROSS JOIN scheduled_job v ON v.id = i.value
UNION ALL
SELECT v.* FROM json_each(?1) i CROSS JOIN job k ON k.id = i.value CROSS JOIN ready_job v ON v.queue = k.queue AND v.priority = k.priority AND v.id = k.id
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at,
       s.ready_at, k.extras, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM json_each(?1) i CROSS JOIN job k ON k.id = i.value
CROSS JOIN held s ON s.queue = k.queue AND s.group_key = CASE WHEN json_valid(k.extras) THEN json_extract(k.extras, '$.group_key') END AND s.job = k.id
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at,
       s.ready_at, k.extras, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM json_each(?1) i CROSS JOIN job k ON k.id = i.value
CROSS JOIN ready_for s ON s.queue = k.queue AND s.priority = k.priority AND s.job = k.id
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, 1,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.account, 0
FROM json_each(?1) i CROSS JOIN job k ON k.id = i.value CROSS JOIN waiting s ON s.queue = k.queue AND s.job = k.id
