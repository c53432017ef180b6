SELECT count(*) FROM group_place WHERE queue = $1 AND group_key = $2
