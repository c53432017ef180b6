-- The tally of the audit log, if it differs from its entries, or if its last id is lower than that of an entry.
SELECT 'kept', t.kept, 'bytes', t.bytes, 'last', t.last, 'where there are', a.kept, a.bytes, a.last FROM audit_tally t, (
  SELECT count(*) AS kept, CAST(coalesce(sum(size), 0) AS bigint) AS bytes, coalesce(max(id), 0) AS last FROM audit
) a WHERE t.kept <> a.kept OR t.bytes <> a.bytes OR t.last < a.last
