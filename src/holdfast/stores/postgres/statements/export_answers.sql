SELECT scope, key, digest, receipts, at FROM kept_answer WHERE (scope, key) > ($1, $2) ORDER BY scope, key LIMIT $3
