DELETE FROM ready WHERE queue = ? AND priority = ? AND job = ?
