INSERT INTO job_batch_member(job_batch, job)
SELECT * FROM unnest($1::bigint[], $2::bigint[])
