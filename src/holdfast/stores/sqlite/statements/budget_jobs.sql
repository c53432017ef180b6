SELECT coalesce(sum(jobs), 0) FROM budget_account WHERE budget = ?
