INSERT INTO job_error(job, attempt, at, worker, kind, reason, secret, leased_at, class, message, traceback, place)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[])
