DELETE FROM worker WHERE id = ANY($1::text[])
