SELECT count(*) FROM group_place WHERE queue = ? AND group_key = ?
