-- Count new entries before they are added; returns the id of the last. A missing tally, or one that is behind, continues from the existing
-- entries. An invalid count is replaced by an impossible one, so that the next trim recounts (`count_audit`).
INSERT INTO audit_tally AS t(only_row, last, kept, bytes, removed)
VALUES (true, coalesce((SELECT max(id) FROM audit WHERE id < 9007199254740991), 0) + $1::bigint, 9007199254740991, 9007199254740991, 0)
ON CONFLICT (only_row) DO UPDATE SET
  last = greatest(CASE WHEN t.last BETWEEN 0 AND 9007199254740991 THEN t.last END, (SELECT max(id) FROM audit WHERE id < 9007199254740991), 0) + $1::bigint,
  kept = CASE WHEN t.kept BETWEEN 0 AND 9007199254740991 THEN t.kept + $1::bigint ELSE 9007199254740991 END,
  bytes = CASE WHEN t.bytes BETWEEN 0 AND 9007199254740991 THEN t.bytes + $2::bigint ELSE 9007199254740991 END
RETURNING last
