-- Clocks of priorities that have no line any more. One that a batch of another node has is left to it.
DELETE FROM fair_clock d USING (
  SELECT c.ctid FROM fair_clock c
  WHERE c.lines <= 0 AND NOT EXISTS (SELECT 1 FROM fair_line l WHERE l.queue = c.queue AND l.priority = c.priority) FOR UPDATE OF c SKIP LOCKED) f
WHERE d.ctid = f.ctid AND d.lines <= 0
