SELECT v.* FROM ended s CROSS JOIN ended_job v ON v.id = s.job
WHERE s.queue = ? AND s.state = 'dead' ORDER BY s.ended_at, s.job LIMIT ?
