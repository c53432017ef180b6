SELECT id, type, content_type, payload FROM job WHERE id = ANY($1::bigint[])
