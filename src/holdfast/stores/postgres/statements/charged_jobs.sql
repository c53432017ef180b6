-- The extras of unfinished jobs that may name budgets: which of them are alike, by where they are and their queue, and how many.
SELECT p.place, p.account, j.extras, q.name, count(*) FROM (
  SELECT job, 'next' AS place, NULL AS account FROM ready UNION ALL SELECT job, 'next', NULL FROM ready_for
  UNION ALL SELECT job, 'waiting', account FROM waiting UNION ALL SELECT job, 'leased', NULL FROM leased
  UNION ALL SELECT job, '', NULL FROM scheduled UNION ALL SELECT job, '', NULL FROM held
) p JOIN job j ON j.id = p.job JOIN queue q ON q.id = j.queue WHERE j.extras LIKE '%"budgets"%' GROUP BY 1, 2, 3, 4
