SELECT count(*) FROM job_batch WHERE ended_at IS NULL OR dead > 0
