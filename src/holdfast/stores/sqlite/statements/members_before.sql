SELECT job FROM job_batch_member WHERE job_batch = ? AND job < ? ORDER BY job DESC LIMIT ?
