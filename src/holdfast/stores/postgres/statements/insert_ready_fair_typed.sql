-- The same in a queue that is kept by type; that of a job whose content is not at hand is looked up.
INSERT INTO ready(queue, priority, job, ready_at, attempt, failures, crashes, fair, type)
SELECT v.queue, v.priority, v.job, v.ready_at, v.attempt, v.failures, v.crashes, v.fair, coalesce(v.type, j.type, '')
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::int[], $7::int[], $8::text[], $9::text[])
  v(queue, priority, job, ready_at, attempt, failures, crashes, fair, type)
LEFT JOIN job j ON j.id = v.job AND v.type IS NULL
