-- Clocks of priorities that have no line any more.
DELETE FROM fair_clock c WHERE c.lines <= 0 AND NOT EXISTS (SELECT 1 FROM fair_line l WHERE l.queue = c.queue AND l.priority = c.priority)
