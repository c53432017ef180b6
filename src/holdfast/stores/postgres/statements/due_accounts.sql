-- The accounts in which time has something to do, and the queues of the heads of their lines; last those that are passed over (job/budget.py).
SELECT a.account, w.queues FROM (SELECT account, by_queue, wake_at FROM budget_account WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2) a
LEFT JOIN LATERAL (SELECT array_agg(h.queue) AS queues FROM (
  WITH RECURSIVE q(queue) AS (
    SELECT min(s.queue) FROM waiting s WHERE s.account = a.account
    UNION ALL SELECT (SELECT min(s.queue) FROM waiting s WHERE s.account = a.account AND s.queue > q.queue) FROM q WHERE q.queue IS NOT NULL
  )
  SELECT q.queue FROM q JOIN queue n ON n.id = q.queue
  CROSS JOIN LATERAL (SELECT s.job FROM waiting s WHERE s.account = a.account AND s.queue = q.queue ORDER BY s.job LIMIT 1) f
  ORDER BY a.by_queue ~ ('"' || n.name || '":\[\d+,\d+,0,'), f.job LIMIT 64) h) w ON true
ORDER BY a.wake_at
