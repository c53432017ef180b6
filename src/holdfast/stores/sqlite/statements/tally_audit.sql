-- Count entries that are to be added; the last of their numbers. A tally that is missing goes on from the entries that are there.
INSERT INTO audit_tally(only_row, last, kept, bytes, removed)
VALUES (1, coalesce((SELECT max(id) FROM audit), 0) + ?1, ?1, ?2, 0)
ON CONFLICT (only_row) DO UPDATE SET last = last + ?1, kept = kept + ?1, bytes = bytes + ?2
RETURNING last
