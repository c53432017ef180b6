-- The queues of the jobs that wait for an account.
WITH RECURSIVE q(queue) AS (
  SELECT min(queue) FROM waiting WHERE account = ?1
  UNION ALL SELECT (SELECT min(s.queue) FROM waiting s WHERE s.account = ?1 AND s.queue > q.queue) FROM q WHERE q.queue IS NOT NULL
)
SELECT queue FROM q WHERE queue IS NOT NULL
