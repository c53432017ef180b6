INSERT INTO job_batch_closing(job_batch, due, queue, member_of, owed, refusal, job)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::boolean[], $6::text[], $7::text[])
