INSERT INTO ended(job, queue, state, priority, ended_at, ready_at, leased_at, attempt, failures, crashes, reason, fence, secret, worker, result, followers)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int[], $9::int[], $10::int[], $11::text[], $12::bigint[], $13::bytea[], $14::text[], $15::bytea[], $16::bytea[])
