-- Ready jobs of workers that are not registered any more.
SELECT v.* FROM ready_for s CROSS JOIN ready_for_job v ON v.id = s.job
WHERE NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = s.worker) LIMIT ?
