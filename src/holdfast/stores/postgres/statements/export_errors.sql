SELECT job, attempt, at, worker, kind, reason, secret, leased_at, class, message, traceback, place FROM job_error WHERE job = ANY($1::bigint[]) ORDER BY job, attempt
