-- Give ready jobs their fair keys.
UPDATE ready r SET fair = v.fair FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[]) v(queue, priority, job, fair)
WHERE r.queue = v.queue AND r.priority = v.priority AND r.job = v.job
