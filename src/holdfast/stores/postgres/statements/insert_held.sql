INSERT INTO held(queue, group_key, job, priority, ready_at, attempt, failures, crashes)
SELECT * FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::int[], $8::int[])
