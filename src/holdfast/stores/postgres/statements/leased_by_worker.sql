-- Reads the leases of each worker, then sorts: an index scan in the order of fences would read all leases.
WITH theirs AS MATERIALIZED (SELECT fence FROM leased WHERE worker <> '' AND worker = ANY($1::text[]))
SELECT v.* FROM theirs t JOIN leased_job v ON v.fence = t.fence ORDER BY v.fence
