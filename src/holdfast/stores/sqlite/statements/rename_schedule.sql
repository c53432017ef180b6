-- An undecodable name can't be queried.
UPDATE schedule SET name = 'recovered-' || lower(hex(randomblob(4))) WHERE name = CAST(? AS TEXT) RETURNING name
