DELETE FROM ready_for WHERE worker = ? AND queue = ? AND priority = ? AND job = ?
