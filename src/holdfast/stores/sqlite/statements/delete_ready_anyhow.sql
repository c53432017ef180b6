DELETE FROM ready_for WHERE queue = ? AND job = ?
