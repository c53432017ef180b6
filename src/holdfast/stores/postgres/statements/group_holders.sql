SELECT job FROM group_place WHERE queue = $1 AND group_key = $2 ORDER BY job LIMIT $3
