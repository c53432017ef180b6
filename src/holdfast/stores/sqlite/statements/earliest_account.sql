SELECT min(wake_at) FROM budget_account WHERE wake_at IS NOT NULL
