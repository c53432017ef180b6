DELETE FROM held WHERE queue = ? AND job = ?
