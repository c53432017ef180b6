SELECT coalesce(sum(jobs), 0)::bigint FROM budget_account WHERE budget = $1
