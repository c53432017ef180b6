WITH changed AS (
  UPDATE kept_answer SET at = $1::bigint WHERE (scope, key) IN (
    SELECT scope, key FROM kept_answer WHERE at > $2::bigint ORDER BY at, scope, key LIMIT $3 FOR UPDATE SKIP LOCKED
  ) RETURNING 1
) SELECT count(*) FROM changed
