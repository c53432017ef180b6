SELECT scope, key, digest, receipts, at FROM kept_answer WHERE (scope, key) > (?, ?) ORDER BY scope, key LIMIT ?
