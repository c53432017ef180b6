SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM ready_for s CROSS JOIN job j ON j.id = s.job
WHERE s.queue = ? AND s.job <= ? LIMIT ?
