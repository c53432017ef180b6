SELECT count(*) FROM (SELECT 1 FROM job_error LIMIT $1) e
