DELETE FROM budget_account WHERE account = ?
