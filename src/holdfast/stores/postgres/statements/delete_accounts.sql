DELETE FROM budget_account WHERE account = ANY($1::text[])
