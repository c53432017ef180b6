SELECT min(at) FROM job_expiry
