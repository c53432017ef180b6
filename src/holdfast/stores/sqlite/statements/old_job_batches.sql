-- Finished batches without dead members that ended before ?1, or that are older than the newest ?2 of these.
SELECT id FROM job_batch WHERE ended_at IS NOT NULL AND dead <= 0
  AND ended_at < max(?1, coalesce((SELECT ended_at FROM job_batch WHERE ended_at IS NOT NULL AND dead <= 0 ORDER BY ended_at DESC LIMIT 1 OFFSET ?2 - 1), 0))
ORDER BY ended_at LIMIT ?3
