SELECT k.scope, k.key, k.digest, k.receipts FROM unnest($1::text[], $2::text[]) v(scope, key)
JOIN kept_answer k ON k.scope = v.scope AND k.key = v.key
