-- Ids of queues that rows of jobs have but that do not exist. Each step seeks the next id: a few µs per queue, however many jobs.
WITH RECURSIVE
waiting(n) AS (SELECT min(queue) FROM ready UNION ALL SELECT (SELECT min(queue) FROM ready WHERE queue > n) FROM waiting WHERE n IS NOT NULL),
later(n) AS (SELECT min(queue) FROM scheduled UNION ALL SELECT (SELECT min(queue) FROM scheduled WHERE queue > n) FROM later WHERE n IS NOT NULL),
past(n) AS (SELECT min(queue) FROM ended UNION ALL SELECT (SELECT min(queue) FROM ended WHERE queue > n) FROM past WHERE n IS NOT NULL)
SELECT n FROM (SELECT n FROM waiting UNION SELECT n FROM later UNION SELECT n FROM past) every
WHERE n IS NOT NULL AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.id = n) LIMIT 1000
