WITH changed AS (UPDATE scheduled SET ready_at = $1::bigint WHERE ready_at > $1::bigint AND attempt > 0 RETURNING 1) SELECT count(*) FROM changed
