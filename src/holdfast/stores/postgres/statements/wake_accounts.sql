UPDATE budget_account SET wake_at = $1 WHERE budget = $2 AND (waiting > 0 OR wake_at IS NOT NULL)
