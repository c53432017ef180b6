SELECT v.* FROM ended s CROSS JOIN ended_job v ON v.id = s.job WHERE s.queue = ? AND s.job <= ? AND s.state = ? LIMIT ?
