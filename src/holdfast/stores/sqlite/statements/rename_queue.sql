-- An undecodable name can't be queried. Restores the cached one, if there is one.
UPDATE queue SET name = coalesce(?2, 'recovered-' || id || '-' || lower(hex(randomblob(4)))) WHERE id = ?1 RETURNING name
