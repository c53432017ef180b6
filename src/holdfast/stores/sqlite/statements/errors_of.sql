SELECT attempt, at, worker, kind, reason, secret, leased_at, class, message, traceback, place FROM job_error WHERE job = ? ORDER BY attempt
