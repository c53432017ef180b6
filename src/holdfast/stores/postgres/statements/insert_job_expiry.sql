INSERT INTO job_expiry(job, queue, at)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[])
