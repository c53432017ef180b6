-- The errors of the newest jobs that have any, the latest error of a job first; only those of queue $3, unless it is NULL.
-- A job that has not ended is 'unfinished' here: its exact state does not matter for counting failures.
SELECT e.job, j.queue, j.type, coalesce(s.state, 'unfinished'), e.at, e.attempt, e.kind, e.worker, substr(e.reason, 1, $2), coalesce(e.class, ''), coalesce(e.place, '')
FROM (SELECT * FROM job_error ORDER BY job DESC, attempt DESC LIMIT $1) e
JOIN job j ON j.id = e.job LEFT JOIN ended s ON s.job = e.job
WHERE $3::int IS NULL OR j.queue = $3
ORDER BY e.job DESC, e.attempt DESC
