-- Count new entries before they are added; returns the id of the last. A missing tally, or one that is behind, continues from the existing
-- entries. An invalid count is replaced by an impossible one, so that the next trim recounts (`count_audit`).
INSERT INTO audit_tally(only_row, last, kept, bytes, removed)
VALUES (1, coalesce((SELECT max(id) FROM audit WHERE id < 9007199254740991), 0) + ?1, 9007199254740991, 9007199254740991, 0)
ON CONFLICT (only_row) DO UPDATE SET
  last = max(CASE WHEN last BETWEEN 0 AND 9007199254740991 THEN last ELSE 0 END, coalesce((SELECT max(id) FROM audit WHERE id < 9007199254740991), 0)) + ?1,
  kept = CASE WHEN kept BETWEEN 0 AND 9007199254740991 THEN kept + ?1 ELSE 9007199254740991 END,
  bytes = CASE WHEN bytes BETWEEN 0 AND 9007199254740991 THEN bytes + ?2 ELSE 9007199254740991 END
RETURNING last
