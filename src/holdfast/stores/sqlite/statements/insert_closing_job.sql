INSERT INTO job_batch_closing(job_batch, due, queue, member_of, owed, refusal, job) VALUES (?, ?, ?, ?, ?, ?, ?)
