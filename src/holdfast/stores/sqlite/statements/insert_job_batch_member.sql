INSERT INTO job_batch_member(job_batch, job) VALUES (?, ?)
