SELECT max(id), count(*) FROM (SELECT id FROM audit WHERE id > $1 ORDER BY id LIMIT $2) stretch
