DELETE FROM fair_line d USING unnest($1::int[], $2::bigint[], $3::text[]) v(queue, priority, fair) WHERE d.queue = v.queue AND d.fair = v.fair AND d.priority = v.priority
