DELETE FROM fair_line WHERE queue = ? AND priority = ? AND fair = ?
