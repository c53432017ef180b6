DELETE FROM job_error WHERE job = ?
