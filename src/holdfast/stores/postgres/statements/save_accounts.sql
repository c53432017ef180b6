INSERT INTO budget_account(account, budget, jobs, waiting, next_jobs, next_units, running, owed, owed_at, per_ms, blocked_until, first_job, first_cost, by_queue, wake_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
                     $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[])
ON CONFLICT (account) DO UPDATE SET jobs = excluded.jobs, waiting = excluded.waiting, next_jobs = excluded.next_jobs, next_units = excluded.next_units,
  running = excluded.running, owed = excluded.owed, owed_at = excluded.owed_at, per_ms = excluded.per_ms, blocked_until = excluded.blocked_until,
  first_job = excluded.first_job, first_cost = excluded.first_cost, by_queue = excluded.by_queue, wake_at = excluded.wake_at
