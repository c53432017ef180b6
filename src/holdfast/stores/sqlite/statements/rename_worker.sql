-- An id that is no text can't be asked for.
UPDATE worker SET id = 'recovered-' || lower(hex(randomblob(4))) WHERE id = CAST(? AS TEXT) RETURNING id
