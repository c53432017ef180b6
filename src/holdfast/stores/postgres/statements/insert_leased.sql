INSERT INTO leased(fence, job, queue, priority, until, leased_at, ready_at, attempt, failures, crashes, cancel, secret, worker, request)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int[], $9::int[], $10::int[], $11::boolean[], $12::bytea[], $13::text[], $14::text[])
