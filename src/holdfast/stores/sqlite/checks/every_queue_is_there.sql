-- Queues that do not exist and that rows refer to: the table, how many rows, and the first job among them.
SELECT 'queue', s.queue, 'is not there; rows in table', s.kind, 'that name it:', s.jobs, '(the first of job', s.first || ')' FROM (
  SELECT 'job' AS kind, queue, count(*) AS jobs, min(id) AS first FROM job GROUP BY queue
  UNION ALL SELECT 'ready' AS kind, queue, count(*) AS jobs, min(job) AS first FROM ready GROUP BY queue
  UNION ALL SELECT 'held' AS kind, queue, count(*) AS jobs, min(job) AS first FROM held GROUP BY queue
  UNION ALL SELECT 'ready_for' AS kind, queue, count(*) AS jobs, min(job) AS first FROM ready_for GROUP BY queue
  UNION ALL SELECT 'waiting' AS kind, queue, count(*) AS jobs, min(job) AS first FROM waiting GROUP BY queue
  UNION ALL SELECT 'leased' AS kind, queue, count(*) AS jobs, min(job) AS first FROM leased GROUP BY queue
  UNION ALL SELECT 'scheduled' AS kind, queue, count(*) AS jobs, min(job) AS first FROM scheduled GROUP BY queue
  UNION ALL SELECT 'ended' AS kind, queue, count(*) AS jobs, min(job) AS first FROM ended GROUP BY queue
  UNION ALL SELECT 'unique_key' AS kind, queue, count(*) AS jobs, min(job) AS first FROM unique_key GROUP BY queue
  UNION ALL SELECT 'group_place' AS kind, queue, count(*) AS jobs, min(job) AS first FROM group_place GROUP BY queue
) s WHERE NOT EXISTS (SELECT 1 FROM queue q WHERE q.id = s.queue) LIMIT 20
