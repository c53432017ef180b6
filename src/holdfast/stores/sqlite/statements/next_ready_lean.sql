-- The first ready jobs of one queue with their contents, and only the columns in which such jobs differ: for most leases.
SELECT j.id, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at, s.ready_at, j.extras,
       j.type, j.content_type, j.payload
FROM ready s CROSS JOIN job j ON j.id = s.job
WHERE s.queue = ? ORDER BY s.priority, s.job LIMIT ?
