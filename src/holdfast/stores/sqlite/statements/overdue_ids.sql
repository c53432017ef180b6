SELECT job FROM job_expiry WHERE at <= ? ORDER BY at, job LIMIT ?
