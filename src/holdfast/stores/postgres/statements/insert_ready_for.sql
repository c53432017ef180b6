INSERT INTO ready_for(worker, queue, priority, job, ready_at, attempt, failures, crashes)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::int[], $8::int[])
