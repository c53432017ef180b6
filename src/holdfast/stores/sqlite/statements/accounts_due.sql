SELECT account FROM budget_account WHERE wake_at <= ? ORDER BY wake_at LIMIT ?
