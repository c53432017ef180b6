-- Places and types of the first ready jobs of one queue.
SELECT s.priority, s.job, j.type FROM (SELECT * FROM ready WHERE queue = $1 ORDER BY priority, job LIMIT $2) s JOIN job j ON j.id = s.job
