UPDATE job_batch_closing c SET owed = true, refusal = v.refusal
FROM unnest($1::bigint[], $2::text[], $3::text[]) v(job_batch, due, refusal) WHERE c.job_batch = v.job_batch AND c.due = v.due
