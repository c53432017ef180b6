DELETE FROM fair_line WHERE (queue, fair, priority) IN (SELECT queue, fair, priority FROM fair_line WHERE queue = ? LIMIT ?)
