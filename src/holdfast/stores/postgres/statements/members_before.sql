SELECT job FROM job_batch_member WHERE job_batch = $1 AND job < $2 ORDER BY job DESC LIMIT $3
