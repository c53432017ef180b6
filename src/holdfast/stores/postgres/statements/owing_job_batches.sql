SELECT DISTINCT job_batch FROM job_batch_closing WHERE owed AND job_batch > $1 ORDER BY job_batch LIMIT $2
