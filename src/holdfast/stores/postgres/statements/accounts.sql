SELECT account, jobs, waiting, next_jobs, next_units, running, owed, owed_at, per_ms, blocked_until, first_job, first_cost, by_queue, wake_at FROM budget_account WHERE account = ANY($1::text[])
