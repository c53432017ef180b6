DELETE FROM ready d USING unnest($1::int[], $2::bigint[], $3::bigint[]) v(queue, priority, job) WHERE d.queue = v.queue AND d.priority = v.priority AND d.job = v.job
