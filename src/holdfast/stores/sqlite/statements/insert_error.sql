INSERT INTO job_error(job, attempt, at, worker, kind, reason, secret, leased_at, class, message, traceback, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
