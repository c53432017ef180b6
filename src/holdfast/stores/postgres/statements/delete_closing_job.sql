DELETE FROM job_batch_closing d USING unnest($1::bigint[], $2::text[]) v(job_batch, due) WHERE d.job_batch = v.job_batch AND d.due = v.due
