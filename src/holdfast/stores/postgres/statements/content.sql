SELECT type, content_type, payload FROM job WHERE id = $1
