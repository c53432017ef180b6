-- Jobs past their deadline, in the queues that we hold. $2: all before this are processed, so the scan starts there and skips dead rows.
SELECT job FROM job_expiry WHERE at <= $1 AND at >= $2 AND queue = ANY($3::int[]) ORDER BY at, job LIMIT $4
