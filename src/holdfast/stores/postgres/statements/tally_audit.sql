-- Count entries that are to be added; the last of their numbers. A tally that is missing goes on from the entries that are there.
INSERT INTO audit_tally AS t(only_row, last, kept, bytes, removed)
VALUES (true, coalesce((SELECT max(id) FROM audit), 0) + $1::bigint, $1::bigint, $2::bigint, 0)
ON CONFLICT (only_row) DO UPDATE SET last = t.last + $1::bigint, kept = t.kept + $1::bigint, bytes = t.bytes + $2::bigint
RETURNING last
