WITH gone AS (DELETE FROM worker WHERE id = ANY($1::text[]) RETURNING 1) SELECT count(*) FROM gone
