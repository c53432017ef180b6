DELETE FROM job_expiry WHERE job = ?
