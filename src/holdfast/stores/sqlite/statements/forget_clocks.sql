-- Clocks of priorities that have no line any more.
DELETE FROM fair_clock WHERE lines <= 0 AND NOT EXISTS (
  SELECT 1 FROM fair_line l INDEXED BY fair_line_idle WHERE l.queue = fair_clock.queue AND l.priority = fair_clock.priority AND l.waiting <= 0)
RETURNING queue, priority
