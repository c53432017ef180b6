-- Held until the transaction ends. The first number is that of `take`; no sequence has the second.
SELECT pg_advisory_xact_lock(1215261796, 0)
