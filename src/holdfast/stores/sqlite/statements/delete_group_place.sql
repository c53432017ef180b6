DELETE FROM group_place WHERE queue = ? AND group_key = ? AND job = ?
