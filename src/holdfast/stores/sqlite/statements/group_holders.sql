SELECT job FROM group_place WHERE queue = ? AND group_key = ? ORDER BY job LIMIT ?
