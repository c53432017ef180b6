SELECT id, name, created_at, queues, closed, pending, concluded, dead, cancelled, success, finish, failure, ended_at, level
FROM job_batch WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE
