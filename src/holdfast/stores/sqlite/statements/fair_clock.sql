SELECT queue, priority, now, most, low, lines FROM fair_clock WHERE queue = ? AND priority = ?
