INSERT INTO waiting(account, job, queue, priority, ready_at, attempt, failures, crashes)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::int[], $4::bigint[], $5::bigint[], $6::int[], $7::int[], $8::int[])
