-- Accounts of budgets that count other jobs than there are.
WITH named(account, cost, job) AS (
  SELECT json_extract(b.value, '$.name') || '/' || coalesce(json_extract(b.value, '$.key'), ''), coalesce(json_extract(b.value, '$.cost'), 1), j.id
  FROM job j, json_each(j.extras, '$.budgets') b WHERE j.extras IS NOT NULL AND json_valid(j.extras)
), counted AS (
  SELECT n.account, count(*) AS jobs, sum(w.job IS NOT NULL AND w.account = n.account) AS waiting,
         sum(r.job IS NOT NULL) AS next_jobs, sum(CASE WHEN r.job IS NOT NULL THEN n.cost ELSE 0 END) AS next_units,
         sum(CASE WHEN l.job IS NOT NULL THEN n.cost ELSE 0 END) AS running
  FROM named n
  LEFT JOIN (SELECT job FROM ready UNION ALL SELECT job FROM ready_for) r ON r.job = n.job
  LEFT JOIN (SELECT job, account FROM waiting) w ON w.job = n.job
  LEFT JOIN leased l ON l.job = n.job
  WHERE NOT EXISTS (SELECT 1 FROM ended e WHERE e.job = n.job) GROUP BY n.account
), kept AS (
  SELECT account, jobs, waiting, next_jobs, next_units, running FROM budget_account WHERE jobs <> 0 OR waiting <> 0 OR next_jobs <> 0 OR next_units <> 0 OR running <> 0
), by_queue AS (
  SELECT a.account, e.key AS queue, e.value ->> 0 AS jobs, e.value ->> 1 AS units
  FROM budget_account a, json_each(CASE WHEN json_valid(a.by_queue) THEN a.by_queue ELSE '{}' END) e
), next_of AS (
  SELECT n.account, q.name AS queue, count(*) AS jobs, sum(n.cost) AS units FROM named n
  JOIN (SELECT job, queue FROM ready UNION ALL SELECT job, queue FROM ready_for) r ON r.job = n.job JOIN queue q ON q.id = r.queue GROUP BY n.account, q.name
)
SELECT 'account', account, what, 'of jobs, waiting, next, their units, and units that run:', jobs, waiting, next_jobs, next_units, running FROM (
  SELECT 'counts too much or too little' AS what, * FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted)
  UNION ALL SELECT 'should count', * FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept)
  UNION ALL SELECT 'counts others that are next by queue', a.account, a.jobs, a.waiting, a.next_jobs, a.next_units, a.running FROM budget_account a
  WHERE a.account IN (SELECT account FROM (SELECT * FROM by_queue EXCEPT SELECT * FROM next_of) x)
     OR a.account IN (SELECT account FROM (SELECT * FROM next_of EXCEPT SELECT * FROM by_queue) y)
) LIMIT 20
