SELECT v.* FROM ready_for s CROSS JOIN ready_for_job v ON v.id = s.job WHERE s.queue = ? AND s.job <= ? LIMIT ?
