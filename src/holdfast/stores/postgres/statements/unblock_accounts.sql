UPDATE budget_account SET blocked_until = 0 WHERE budget = $1 AND blocked_until > 0
