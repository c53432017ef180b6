-- Batches that may have something due, the newest first: a batch is named by the closing jobs of newer ones.
SELECT id FROM job_batch WHERE id < $1 AND (ended_at IS NULL OR success = 0 OR finish = 0 OR failure = 0) ORDER BY id DESC LIMIT $2
