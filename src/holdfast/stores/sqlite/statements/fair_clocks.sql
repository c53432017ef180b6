-- The clocks of a queue, by priority.
SELECT queue, priority, now, most, low, lines FROM fair_clock WHERE queue = ? ORDER BY priority LIMIT ?
