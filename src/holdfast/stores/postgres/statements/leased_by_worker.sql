-- By each worker's leases, and sorted then: in the order of fences every lease would be scanned.
WITH theirs AS MATERIALIZED (SELECT fence FROM leased WHERE worker <> '' AND worker = ANY($1::text[]))
SELECT v.* FROM theirs t JOIN leased_job v ON v.fence = t.fence ORDER BY v.fence
