SELECT attempt, at, worker, kind, reason, secret FROM job_error WHERE job = ? ORDER BY attempt
