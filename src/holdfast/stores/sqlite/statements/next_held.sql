SELECT v.* FROM held h CROSS JOIN held_job v ON v.id = h.job WHERE h.queue = ? AND h.group_key = ? ORDER BY h.job LIMIT ?
