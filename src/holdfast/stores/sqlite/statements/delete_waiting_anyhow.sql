DELETE FROM waiting WHERE queue = ? AND job = ?
