DELETE FROM scheduled d USING unnest($1::bigint[]) v(job) WHERE d.job = v.job
