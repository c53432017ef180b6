-- The clocks of a queue at which jobs wait, by priority, behind one.
SELECT queue, priority, now, most, low, lines FROM fair_clock WHERE queue = ? AND priority > ? AND lines > 0 ORDER BY priority LIMIT ?
