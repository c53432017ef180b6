SELECT id, name, created_at, queues, closed, pending, concluded, dead, cancelled, success, finish, failure, ended_at, level
FROM job_batch WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id
