-- Rows of a state for jobs that do not exist.
SELECT s.state, 'job', s.job, 'has no row in job' FROM (
  SELECT 'ready' AS state, job FROM ready UNION ALL SELECT 'held', job FROM held UNION ALL SELECT 'leased', job FROM leased
  UNION ALL SELECT 'ready_for', job FROM ready_for UNION ALL SELECT 'waiting', job FROM waiting UNION ALL SELECT 'scheduled', job FROM scheduled UNION ALL SELECT 'ended', job FROM ended
) s WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.id = s.job) LIMIT 20
