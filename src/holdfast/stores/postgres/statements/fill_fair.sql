-- Give ready jobs of one queue their fair keys.
UPDATE ready r SET fair = v.fair FROM unnest($2::bigint[], $3::bigint[], $4::text[]) v(priority, job, fair)
WHERE r.queue = $1 AND r.priority = v.priority AND r.job = v.job
