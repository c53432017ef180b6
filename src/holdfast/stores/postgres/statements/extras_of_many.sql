SELECT id, extras FROM job WHERE id = ANY($1::bigint[]) AND extras IS NOT NULL
