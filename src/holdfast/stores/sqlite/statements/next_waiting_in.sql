SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.account, 0
FROM waiting s INDEXED BY waiting_line CROSS JOIN job j ON j.id = s.job
WHERE s.account = ? AND s.queue = ? ORDER BY s.job LIMIT ?
