DELETE FROM group_place WHERE queue = $1 AND job = $2
