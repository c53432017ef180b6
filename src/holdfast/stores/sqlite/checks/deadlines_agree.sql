-- Waiting jobs whose deadline is not written where the tick looks, and deadlines of jobs that have none or do not wait.
WITH unfinished(job) AS (
  SELECT job FROM scheduled UNION ALL SELECT job FROM ready UNION ALL SELECT job FROM held UNION ALL SELECT job FROM ready_for
  UNION ALL SELECT job FROM waiting
),
due(job, queue, at) AS (
  SELECT id, queue, extras ->> '$.expires_at' FROM job WHERE extras ->> '$.expires_at' IS NOT NULL AND id IN (SELECT job FROM unfinished)
)
SELECT 'job', job, 'should expire at', at FROM (SELECT * FROM due EXCEPT SELECT job, queue, at FROM job_expiry)
UNION ALL
SELECT 'job', job, 'should not expire at', at FROM (SELECT job, queue, at FROM job_expiry EXCEPT SELECT * FROM due) LIMIT 20
