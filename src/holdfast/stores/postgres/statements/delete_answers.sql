DELETE FROM kept_answer k USING unnest($1::text[], $2::text[]) v(scope, key) WHERE k.scope = v.scope AND k.key = v.key
