-- The queues with time-based work: leases that expire, jobs that are due, jobs past their deadline, jobs whose only worker was removed. Without the
-- queues $6, which others hold, so that their work does not block that of other queues.
SELECT queue FROM (SELECT queue FROM leased WHERE until <= $1 AND until >= $2 AND queue <> ALL($6::int[]) ORDER BY until LIMIT $3) e
UNION SELECT queue FROM (SELECT queue FROM scheduled WHERE ready_at <= $1 AND ready_at >= $2 AND queue <> ALL($6::int[]) ORDER BY ready_at, job LIMIT $4) d
UNION SELECT queue FROM (SELECT queue FROM job_expiry WHERE at <= $1 AND at >= $2 AND queue <> ALL($6::int[]) ORDER BY at, job LIMIT $7) x
UNION SELECT queue FROM (SELECT s.queue FROM ready_for s WHERE NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = s.worker)
                       AND queue <> ALL($6::int[]) LIMIT $5) o
