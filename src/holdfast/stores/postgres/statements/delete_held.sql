DELETE FROM held d USING unnest($1::int[], $2::text[], $3::bigint[]) v(queue, group_key, job) WHERE d.queue = v.queue AND d.group_key = v.group_key AND d.job = v.job
