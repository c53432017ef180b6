DELETE FROM job_expiry d USING unnest($1::bigint[]) v(job) WHERE d.job = v.job
