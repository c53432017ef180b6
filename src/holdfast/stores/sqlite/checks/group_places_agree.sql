-- Slots of groups that a job should have but does not, and slots of jobs that should have none.
WITH due(queue, group_key, job) AS (
  SELECT queue, extras ->> '$.group_key', id FROM job
  WHERE extras ->> '$.group_key' IS NOT NULL
    AND id IN (SELECT job FROM leased UNION ALL SELECT job FROM ready UNION ALL SELECT job FROM ready_for UNION ALL SELECT job FROM waiting)
)
SELECT 'job', job, 'should have a place in the group', group_key FROM (SELECT * FROM due EXCEPT SELECT queue, group_key, job FROM group_place)
UNION ALL
SELECT 'job', job, 'should have no place in the group', group_key FROM (SELECT queue, group_key, job FROM group_place EXCEPT SELECT * FROM due) LIMIT 20
