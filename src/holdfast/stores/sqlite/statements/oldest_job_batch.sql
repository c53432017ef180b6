-- Of the batches that are not finished, the first.
SELECT created_at FROM job_batch WHERE (ended_at IS NULL OR dead > 0) AND ended_at IS NULL ORDER BY id LIMIT 1
