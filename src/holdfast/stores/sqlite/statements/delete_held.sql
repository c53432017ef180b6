DELETE FROM held WHERE queue = ? AND group_key = ? AND job = ?
