SELECT count(*) FROM (SELECT 1 FROM ready WHERE queue = $1 AND (priority, job) < ($2::bigint, $3::bigint) LIMIT $4) a
