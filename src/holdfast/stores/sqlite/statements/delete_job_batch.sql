DELETE FROM job_batch WHERE id = ?
