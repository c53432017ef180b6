SELECT job, attempt, at, worker, kind, reason, secret, leased_at, class, message, traceback, place FROM job_error WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, attempt
