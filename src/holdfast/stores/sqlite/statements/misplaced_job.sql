-- A job that is ready, but not where its own row says: found by looking at all that is ready, which is done only where nothing else is found.
SELECT v.* FROM job k CROSS JOIN ready_job v ON v.id = k.id WHERE k.id = ?1
UNION ALL
SELECT v.id, v.queue, v.state, v.priority, v.attempt, v.failures, v.crashes, v.max_attempts, v.size, v.created_at, v.ready_at, v.extras, 1,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM job k CROSS JOIN held_job v ON v.id = k.id WHERE k.id = ?1
UNION ALL
SELECT v.id, v.queue, v.state, v.priority, v.attempt, v.failures, v.crashes, v.max_attempts, v.size, v.created_at, v.ready_at, v.extras, 0,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM job k CROSS JOIN ready_for_job v ON v.id = k.id WHERE k.id = ?1
