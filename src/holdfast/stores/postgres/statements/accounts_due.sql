SELECT account FROM budget_account WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2
