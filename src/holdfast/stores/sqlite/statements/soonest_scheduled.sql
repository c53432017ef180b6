SELECT v.* FROM scheduled s CROSS JOIN scheduled_job v ON v.id = s.job
WHERE s.queue = ? ORDER BY s.ready_at, s.job LIMIT ?
