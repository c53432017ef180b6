-- A name that is no text can't be asked for.
UPDATE schedule SET name = 'recovered-' || lower(hex(randomblob(4))) WHERE name = CAST(? AS TEXT) RETURNING name
