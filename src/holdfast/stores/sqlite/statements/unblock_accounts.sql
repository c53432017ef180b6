UPDATE budget_account SET blocked_until = 0 WHERE budget = ? AND blocked_until > 0
