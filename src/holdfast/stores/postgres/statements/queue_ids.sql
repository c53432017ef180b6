SELECT id, name FROM queue WHERE name = ANY($1::text[]) ORDER BY id
