-- Accounts of budgets that count other jobs than there are.
WITH named(account, cost, job) AS (
  SELECT (b ->> 'name') || '/' || coalesce(b ->> 'key', ''), coalesce((b ->> 'cost')::bigint, 1), j.id
  FROM (SELECT id, extras::jsonb AS extras FROM job WHERE extras LIKE '%"budgets"%') j
  CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(j.extras -> 'budgets') = 'array' THEN j.extras -> 'budgets' ELSE '[]' END) b
), counted AS (
  SELECT n.account COLLATE "C" AS account, count(*)::bigint AS jobs, count(*) FILTER (WHERE w.account = n.account COLLATE "C")::bigint AS waiting,
         count(r.job)::bigint AS next_jobs, coalesce(sum(n.cost) FILTER (WHERE r.job IS NOT NULL), 0)::bigint AS next_units,
         coalesce(sum(n.cost) FILTER (WHERE l.job IS NOT NULL), 0)::bigint AS running
  FROM named n
  LEFT JOIN (SELECT job FROM ready UNION ALL SELECT job FROM ready_for) r ON r.job = n.job
  LEFT JOIN waiting w ON w.job = n.job
  LEFT JOIN leased l ON l.job = n.job
  WHERE NOT EXISTS (SELECT 1 FROM ended e WHERE e.job = n.job) GROUP BY 1
), kept AS (
  SELECT account, jobs, waiting, next_jobs, next_units, running FROM budget_account WHERE jobs <> 0 OR waiting <> 0 OR next_jobs <> 0 OR next_units <> 0 OR running <> 0
), by_queue AS (
  SELECT a.account, m[1] COLLATE "C" AS queue, m[2]::bigint AS jobs, m[3]::bigint AS units
  FROM budget_account a CROSS JOIN LATERAL regexp_matches(a.by_queue, '"([^"]+)":\[(\d+),(\d+),', 'g') m
), next_of AS (
  SELECT n.account COLLATE "C" AS account, q.name COLLATE "C" AS queue, count(*)::bigint AS jobs, sum(n.cost)::bigint AS units FROM named n
  JOIN (SELECT job, queue FROM ready UNION ALL SELECT job, queue FROM ready_for) r ON r.job = n.job JOIN queue q ON q.id = r.queue GROUP BY 1, 2
)
SELECT 'account', account, what, 'of jobs, waiting, next, their units, and units that run:', jobs, waiting, next_jobs, next_units, running FROM (
  SELECT 'counts too much or too little' AS what, * FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted) a
  UNION ALL SELECT 'should count', * FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept) b
  UNION ALL SELECT 'counts others that are next by queue', a.account, a.jobs, a.waiting, a.next_jobs, a.next_units, a.running FROM budget_account a
  WHERE a.account IN (SELECT account FROM (SELECT * FROM by_queue EXCEPT SELECT * FROM next_of) x)
     OR a.account IN (SELECT account FROM (SELECT * FROM next_of EXCEPT SELECT * FROM by_queue) y)
) d LIMIT 20
