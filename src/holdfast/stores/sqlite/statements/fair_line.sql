SELECT queue, priority, fair, turn, waiting, first, last, weight FROM fair_line WHERE queue = ? AND fair = ? AND priority = ?
