-- An undecodable id can't be queried.
UPDATE worker SET id = 'recovered-' || lower(hex(randomblob(4))) WHERE id = CAST(? AS TEXT) RETURNING id
