-- Clocks of priorities that have no line any more, of these queues, which are locked.
DELETE FROM fair_clock c
WHERE c.queue = ANY($1::int[]) AND c.lines <= 0 AND NOT EXISTS (SELECT 1 FROM fair_line l WHERE l.queue = c.queue AND l.priority = c.priority)
