WITH changed AS (UPDATE scheduled SET ready_at = $1 WHERE ready_at > $1 AND attempt > 0 RETURNING 1) SELECT count(*) FROM changed
