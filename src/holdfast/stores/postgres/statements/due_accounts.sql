-- The accounts in which time has something to do, and the queues of the heads of their lines.
SELECT a.account, w.queues FROM (SELECT account, wake_at FROM budget_account WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2) a
LEFT JOIN LATERAL (SELECT array_agg(DISTINCT h.queue) AS queues FROM (
  SELECT s.queue FROM waiting s WHERE s.account = a.account ORDER BY s.job LIMIT 64) h) w ON true
ORDER BY a.wake_at
