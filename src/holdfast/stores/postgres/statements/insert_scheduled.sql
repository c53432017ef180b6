INSERT INTO scheduled(job, queue, ready_at, priority, attempt, failures, crashes)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[], $5::int[], $6::int[], $7::int[])
