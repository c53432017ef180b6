-- Ready jobs of one queue behind one place, in order, with their extras.
SELECT s.priority, s.job, j.extras FROM ready s LEFT JOIN job j ON j.id = s.job
WHERE s.queue = ? AND (s.priority, s.job) > (?, ?) ORDER BY s.priority, s.job LIMIT ?
