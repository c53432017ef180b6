-- Lines without jobs that new ones would equal.
SELECT l.queue, l.priority, l.fair FROM fair_clock c CROSS JOIN fair_line l INDEXED BY fair_line_idle
WHERE l.queue = c.queue AND l.priority = c.priority AND l.waiting <= 0 AND l.turn <= c.now LIMIT ?
