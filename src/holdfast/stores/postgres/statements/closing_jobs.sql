SELECT due, job, refusal, queue, owed FROM job_batch_closing WHERE job_batch = $1
