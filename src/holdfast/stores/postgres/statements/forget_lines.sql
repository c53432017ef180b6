-- Lines without jobs that new ones would equal, of these queues, which are locked.
WITH gone AS (
  DELETE FROM fair_line d USING (
    SELECT l.ctid FROM fair_clock c JOIN fair_line l ON l.queue = c.queue AND l.priority = c.priority
    WHERE c.queue = ANY($2::int[]) AND l.waiting <= 0 AND l.turn <= c.now LIMIT $1) f
  WHERE d.ctid = f.ctid RETURNING 1
) SELECT count(*) FROM gone
