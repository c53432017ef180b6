-- Give the ready jobs of one queue their types, behind one place up to another.
UPDATE ready r SET type = coalesce((SELECT j.type FROM job j WHERE j.id = r.job), '')
WHERE r.queue = $1 AND (r.priority, r.job) > ($2::bigint, $3::bigint) AND (r.priority, r.job) <= ($4::bigint, $5::bigint) AND r.type IS NULL
