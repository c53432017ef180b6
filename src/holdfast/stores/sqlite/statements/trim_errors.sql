DELETE FROM job_error WHERE job = ?1 AND attempt NOT IN (SELECT attempt FROM job_error WHERE job = ?1 ORDER BY attempt DESC LIMIT ?2)
