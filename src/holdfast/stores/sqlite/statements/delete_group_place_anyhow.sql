DELETE FROM group_place WHERE queue = ? AND job = ?
