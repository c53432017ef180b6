SELECT id, at, size FROM audit ORDER BY id LIMIT $1
