DELETE FROM kept_answer WHERE (scope, key) IN (
  SELECT scope, key FROM kept_answer k
  WHERE at < ? AND NOT EXISTS (SELECT 1 FROM job WHERE id BETWEEN k.first_job AND k.last_job)
  ORDER BY at LIMIT ?
)
