INSERT INTO ready(queue, priority, job, ready_at, attempt, failures, crashes, fair)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::int[], $7::int[], $8::text[])
