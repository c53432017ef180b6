SELECT id, name FROM queue WHERE id = ANY($1::int[]) ORDER BY id
