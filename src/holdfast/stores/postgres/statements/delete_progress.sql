DELETE FROM progress d USING unnest($1::bigint[]) v(job) WHERE d.job = v.job
