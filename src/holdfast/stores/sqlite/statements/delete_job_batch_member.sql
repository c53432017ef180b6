DELETE FROM job_batch_member WHERE job_batch = ? AND job = ?
