-- The locks of budgets, of their accounts and of their lines, whether or not the budgets are there, until the transaction ends.
SELECT pg_advisory_xact_lock(1215261799, hashtext(name)) FROM unnest($1::text[]) name
