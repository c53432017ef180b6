-- Lines without jobs that new ones would equal. What a batch writes meanwhile is looked at again.
WITH gone AS (
  DELETE FROM fair_line d USING (
    SELECT l.ctid FROM fair_clock c JOIN fair_line l ON l.queue = c.queue AND l.priority = c.priority
    WHERE l.waiting <= 0 AND l.turn <= c.now LIMIT $1 FOR UPDATE OF l SKIP LOCKED) f
  WHERE d.ctid = f.ctid AND d.waiting <= 0 RETURNING 1
) SELECT count(*) FROM gone
