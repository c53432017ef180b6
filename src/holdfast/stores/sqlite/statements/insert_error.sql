INSERT INTO job_error(job, attempt, at, worker, kind, reason, secret, leased_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
