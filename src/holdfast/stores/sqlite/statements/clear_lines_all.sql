DELETE FROM fair_line WHERE queue = ?
