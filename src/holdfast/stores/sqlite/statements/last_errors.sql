-- The latest error of each of these jobs (?1, JSON) that has one, without what Python told.
SELECT e.job, e.attempt, e.at, e.worker, e.kind, e.reason, e.secret, e.leased_at, NULL, NULL, NULL, NULL FROM json_each(?1) i CROSS JOIN job_error e ON e.job = i.value
WHERE e.attempt = (SELECT max(l.attempt) FROM job_error l WHERE l.job = e.job)
