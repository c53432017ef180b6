-- Finished batches without dead members that ended before $1, or that are older than the newest $2 of these.
DELETE FROM job_batch WHERE id IN (
  SELECT id FROM job_batch WHERE ended_at IS NOT NULL AND dead <= 0
    AND ended_at < greatest($1, coalesce((SELECT ended_at FROM job_batch WHERE ended_at IS NOT NULL AND dead <= 0 ORDER BY ended_at DESC LIMIT 1 OFFSET $2 - 1), 0))
  ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED
) RETURNING id
