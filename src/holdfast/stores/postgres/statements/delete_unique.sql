DELETE FROM unique_key d USING unnest($1::int[], $2::text[], $3::bigint[]) v(queue, key, job) WHERE d.queue = v.queue AND d.key = v.key AND d.job = v.job
