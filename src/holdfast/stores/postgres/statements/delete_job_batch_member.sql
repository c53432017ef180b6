DELETE FROM job_batch_member d USING unnest($1::bigint[], $2::bigint[]) v(job_batch, job) WHERE d.job_batch = v.job_batch AND d.job = v.job
