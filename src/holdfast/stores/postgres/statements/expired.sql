-- Expired leases, in the queues that we hold. $2: all leases before this are processed, so the scan starts there and skips dead rows.
SELECT v.* FROM (SELECT fence FROM leased WHERE until <= $1 AND until >= $2 AND queue = ANY($3::int[]) ORDER BY until LIMIT $4) l
JOIN leased_job v ON v.fence = l.fence ORDER BY v.until, v.fence
