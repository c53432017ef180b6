SELECT v.* FROM ready s CROSS JOIN ready_job v ON v.id = s.job AND v.queue = s.queue AND v.priority = s.priority
WHERE s.queue = ? AND s.job <= ? ORDER BY s.priority, s.job LIMIT ?
