SELECT v.* FROM held s CROSS JOIN held_job v ON v.id = s.job WHERE s.queue = ? AND s.job <= ? LIMIT ?
