-- The clock was ahead: what is owed is owed from now on, no block is longer than one can be, and all are looked at again.
UPDATE budget_account SET owed_at = min(owed_at, ?1), blocked_until = min(blocked_until, ?2), wake_at = CASE WHEN wake_at IS NOT NULL THEN min(wake_at, ?1) END
WHERE owed_at > ?1 OR blocked_until > ?2 OR wake_at > ?1
