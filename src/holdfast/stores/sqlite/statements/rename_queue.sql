-- A name that is no text can't be asked for. The one that is known, if it is.
UPDATE queue SET name = coalesce(?2, 'recovered-' || id || '-' || lower(hex(randomblob(4)))) WHERE id = ?1 RETURNING name
