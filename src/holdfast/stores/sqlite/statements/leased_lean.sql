-- As `leased_by_fence`, without the columns that are the same for every leased job: for commands that end leases.
SELECT j.id, s.queue, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at, s.ready_at, j.extras,
       s.fence, s.secret, s.worker, s.leased_at, s.until, s.request, s.cancel
FROM leased s CROSS JOIN job j ON j.id = s.job
WHERE s.fence IN (SELECT value FROM json_each(?))
