-- In which queues time has something to do: leases that end, jobs that are due, jobs whose only worker is gone.
SELECT queue FROM (SELECT queue FROM leased WHERE until <= $1 AND until >= $2 ORDER BY until LIMIT $3) e
UNION SELECT queue FROM (SELECT queue FROM scheduled WHERE ready_at <= $1 AND ready_at >= $2 ORDER BY ready_at, job LIMIT $4) d
UNION SELECT queue FROM (SELECT s.queue FROM ready_for s WHERE NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = s.worker) LIMIT $5) o
