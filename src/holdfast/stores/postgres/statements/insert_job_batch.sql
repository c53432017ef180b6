INSERT INTO job_batch(id, name, created_at, queues, closed, pending, concluded, dead, cancelled, success, finish, failure, ended_at, level)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
  $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
