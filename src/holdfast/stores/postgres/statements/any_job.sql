-- One job in any state, except held ones (see `misplaced.py`): at most one SELECT of the union has a row. Each finds it by a full key.
SELECT * FROM ended_job WHERE id = $1
UNION ALL
SELECT v.* FROM leased l JOIN leased_job v ON v.fence = l.fence WHERE l.job = $1
UNION ALL
SELECT * FROM scheduled_job WHERE id = $1
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, false,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM job k JOIN ready s ON s.queue = k.queue AND s.priority = k.priority AND s.job = k.id WHERE k.id = $1
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, false,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM job k JOIN ready_for s ON s.queue = k.queue AND s.priority = k.priority AND s.job = k.id
WHERE k.id = $1 AND k.extras IS NOT NULL
UNION ALL
SELECT k.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, k.max_attempts, k.size, k.created_at, s.ready_at, k.extras, true,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.account, 0
FROM job k JOIN waiting s ON s.queue = k.queue AND s.job = k.id
WHERE k.id = $1 AND k.extras IS NOT NULL
