WITH gone AS (DELETE FROM fair_line WHERE ctid = ANY(ARRAY(SELECT ctid FROM fair_line WHERE queue = $1 LIMIT $2)) RETURNING 1) SELECT count(*) FROM gone
