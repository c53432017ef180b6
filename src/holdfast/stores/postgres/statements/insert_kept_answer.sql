INSERT INTO kept_answer(scope, key, digest, receipts, first_job, last_job, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[])
