UPDATE job j SET priority = v.priority, max_attempts = v.max_attempts, size = v.size, extras = v.extras
FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[], $5::bigint[]) v(priority, max_attempts, size, extras, id) WHERE j.id = v.id
