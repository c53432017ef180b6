-- Unique keys that a job should hold but does not, and keys of jobs that should hold none.
WITH before_its_lease(job) AS (
  SELECT job FROM scheduled UNION ALL SELECT job FROM ready UNION ALL SELECT job FROM held UNION ALL SELECT job FROM ready_for UNION ALL SELECT job FROM waiting
),
keyed(queue, key, job, queued_only) AS (
  SELECT queue, extras ->> '$.unique_key', id, coalesce(extras ->> '$.unique_while', '') = 'queued' FROM job WHERE extras ->> '$.unique_key' IS NOT NULL
),
due(queue, key, job) AS (
  SELECT queue, key, job FROM keyed
  WHERE job IN (SELECT job FROM before_its_lease) OR (NOT queued_only AND job IN (SELECT job FROM leased))
)
SELECT 'job', job, 'should hold the key', key FROM (SELECT * FROM due EXCEPT SELECT queue, key, job FROM unique_key)
UNION ALL
SELECT 'job', job, 'should not hold the key', key FROM (SELECT queue, key, job FROM unique_key EXCEPT SELECT * FROM due) LIMIT 20
