-- Clocks of priorities that have no line any more.
DELETE FROM fair_clock WHERE lines <= 0 AND (queue, priority) NOT IN (
  SELECT queue, priority FROM fair_line WHERE queue IN (SELECT queue FROM fair_clock WHERE lines <= 0))
RETURNING queue, priority
