-- The newest dead jobs of one queue, each with its latest error. SELECT 'dead': the index of all that are dead is of no use.
SELECT s.job, s.queue, j.type, s.state, s.ended_at, s.attempt, coalesce(e.kind, ''), coalesce(e.worker, ''),
       coalesce(substr(e.reason, 1, $2), s.reason, ''), coalesce(e.class, ''), coalesce(e.place, '')
FROM ended s JOIN job j ON j.id = s.job
LEFT JOIN job_error e ON e.job = s.job AND e.attempt = (SELECT max(attempt) FROM job_error WHERE job = s.job)
WHERE s.queue = $3 AND s.state = (SELECT 'dead') ORDER BY s.ended_at DESC, s.job DESC LIMIT $1
