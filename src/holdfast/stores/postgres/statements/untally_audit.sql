UPDATE audit_tally SET kept = kept - $1, bytes = bytes - $2, removed = CASE WHEN removed BETWEEN 0 AND 9007199254740991 THEN removed ELSE 0 END + $1
