SELECT DISTINCT job_batch FROM job_batch_closing WHERE owed = 1 AND job_batch > ? ORDER BY job_batch LIMIT ?
