SELECT id, type, content_type, payload FROM job WHERE id IN (SELECT value FROM json_each(?))
