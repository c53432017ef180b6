-- Recount all entries, if the tally can't be right.
INSERT INTO audit_tally AS t(only_row, last, kept, bytes, removed)
SELECT true, coalesce(max(id), 0), count(*), CAST(coalesce(sum(CASE WHEN size BETWEEN 0 AND 65536 THEN size ELSE 65536 END), 0) AS bigint), 0 FROM audit WHERE true
ON CONFLICT (only_row) DO UPDATE SET kept = excluded.kept, bytes = excluded.bytes
RETURNING last, kept, bytes, removed
