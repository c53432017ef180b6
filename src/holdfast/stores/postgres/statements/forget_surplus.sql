-- Of lines without jobs, of which one priority of a queue has more than $1, those that are ahead of the others the least; of these queues, which are locked.
WITH gone AS (
  DELETE FROM fair_line d USING (
    SELECT f.ctid FROM (SELECT l.queue, l.priority, count(*) - $1::bigint AS surplus FROM fair_line l WHERE l.queue = ANY($3::int[]) AND l.waiting <= 0
                        GROUP BY l.queue, l.priority HAVING count(*) > $1::bigint) o
    CROSS JOIN LATERAL (SELECT l.ctid FROM fair_line l WHERE l.queue = o.queue AND l.priority = o.priority AND l.waiting <= 0
                        ORDER BY l.turn LIMIT least(o.surplus, $2::bigint)) f
    LIMIT $2::bigint) v
  WHERE d.ctid = v.ctid RETURNING 1
) SELECT count(*) FROM gone
