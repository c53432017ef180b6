-- A ready job with another queue, priority or group in its row than in `job`: a scan of all ready jobs, only if nothing else was found.
SELECT v.* FROM job k CROSS JOIN ready_job v ON v.id = k.id WHERE k.id = ?1
UNION ALL
SELECT v.id, v.queue, v.state, v.priority, v.attempt, v.failures, v.crashes, v.max_attempts, v.size, v.created_at, v.ready_at, v.extras, 1,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM job k CROSS JOIN held_job v ON v.id = k.id WHERE k.id = ?1
UNION ALL
SELECT v.id, v.queue, v.state, v.priority, v.attempt, v.failures, v.crashes, v.max_attempts, v.size, v.created_at, v.ready_at, v.extras, 0,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM job k CROSS JOIN ready_for_job v ON v.id = k.id WHERE k.id = ?1
UNION ALL
SELECT v.* FROM job k CROSS JOIN waiting_job v ON v.id = k.id WHERE k.id = ?1
