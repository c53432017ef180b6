-- The clock was ahead: what is owed is owed from now on, no block is longer than one can be, and all are looked at again.
WITH accounts AS (
  UPDATE budget_account SET owed_at = least(owed_at, $1), blocked_until = least(blocked_until, $2), wake_at = least(wake_at, CASE WHEN wake_at IS NOT NULL THEN $1 END)
  WHERE owed_at > $1 OR blocked_until > $2 OR wake_at > $1 RETURNING 1
), budgets AS (
  UPDATE budget SET blocked_until = least(blocked_until, $2), changed_at = least(changed_at, $1) WHERE blocked_until > $2 OR changed_at > $1 RETURNING 1
)
SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM budgets)
