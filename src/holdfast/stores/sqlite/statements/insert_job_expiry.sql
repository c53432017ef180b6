INSERT INTO job_expiry(job, queue, at) VALUES (?, ?, ?)
