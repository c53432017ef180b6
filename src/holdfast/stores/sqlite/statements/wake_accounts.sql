UPDATE budget_account SET wake_at = ? WHERE budget = ? AND (waiting > 0 OR wake_at IS NOT NULL)
