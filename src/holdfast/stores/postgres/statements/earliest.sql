-- When the next time-based work is due. $1: all leases, scheduled jobs and deadlines before this are processed. $2: queues that others hold.
SELECT least((SELECT min(until) FROM leased WHERE until >= $1 AND queue <> ALL($2::int[])), (SELECT min(ready_at) FROM scheduled WHERE ready_at >= $1 AND queue <> ALL($2::int[])),
             (SELECT min(at) FROM job_expiry WHERE at >= $1 AND queue <> ALL($2::int[])), (SELECT min(try_at) FROM schedule WHERE NOT paused),
             (SELECT min(wake_at) FROM budget_account WHERE wake_at IS NOT NULL))
