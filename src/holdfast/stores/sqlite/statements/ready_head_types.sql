-- Places and types of the first ready jobs of one queue.
SELECT s.priority, s.job, j.type FROM ready s CROSS JOIN job j ON j.id = s.job WHERE s.queue = ? ORDER BY s.priority, s.job LIMIT ?
