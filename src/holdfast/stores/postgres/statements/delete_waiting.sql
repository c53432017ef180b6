DELETE FROM waiting d USING unnest($1::text[], $2::int[], $3::bigint[]) v(account, queue, job) WHERE d.account = v.account AND d.job = v.job AND d.queue = v.queue
