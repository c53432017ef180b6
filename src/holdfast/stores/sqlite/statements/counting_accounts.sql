SELECT account FROM budget_account WHERE jobs <> 0 OR waiting <> 0 OR next_jobs <> 0 OR next_units <> 0 OR running <> 0 ORDER BY account
