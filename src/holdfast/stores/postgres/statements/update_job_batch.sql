UPDATE job_batch b SET closed = v.closed, pending = v.pending, concluded = v.concluded, dead = v.dead, cancelled = v.cancelled,
  success = v.success, finish = v.finish, failure = v.failure, ended_at = v.ended_at
FROM unnest($1::bigint[], $2::boolean[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
  v(id, closed, pending, concluded, dead, cancelled, success, finish, failure, ended_at)
WHERE b.id = v.id
