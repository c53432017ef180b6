-- A name that is no text can't be asked for.
UPDATE queue SET name = 'recovered-' || id || '-' || lower(hex(randomblob(4))) WHERE id = ?
