-- Jobs with different queues in `job` and in the row of their state.
SELECT 'job', s.job, 'is', s.state, 'in queue', s.queue, 'and its own row is of queue', j.queue FROM (
  SELECT 'ready' AS state, job, queue FROM ready
  UNION ALL SELECT 'held' AS state, job, queue FROM held
  UNION ALL SELECT 'waiting' AS state, job, queue FROM waiting
  UNION ALL SELECT 'ready_for' AS state, job, queue FROM ready_for
  UNION ALL SELECT 'leased' AS state, job, queue FROM leased
  UNION ALL SELECT 'scheduled' AS state, job, queue FROM scheduled
  UNION ALL SELECT 'ended' AS state, job, queue FROM ended
) s JOIN job j ON j.id = s.job WHERE j.queue <> s.queue LIMIT 20
