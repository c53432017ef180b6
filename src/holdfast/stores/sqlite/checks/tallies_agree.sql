-- Queues with a tally that differs from their rows.
WITH counted AS (
  SELECT q.id,
    (SELECT count(*) FROM scheduled s WHERE s.queue = q.id) AS scheduled,
    (SELECT count(*) FROM ready s WHERE s.queue = q.id) + (SELECT count(*) FROM held s WHERE s.queue = q.id)
      + (SELECT count(*) FROM ready_for s WHERE s.queue = q.id) + (SELECT count(*) FROM waiting s WHERE s.queue = q.id) AS ready,
    (SELECT count(*) FROM leased s WHERE s.queue = q.id) AS leased,
    (SELECT count(*) FROM ended s WHERE s.queue = q.id AND s.state = 'concluded') AS concluded,
    (SELECT count(*) FROM ended s WHERE s.queue = q.id AND s.state = 'dead') AS dead,
    (SELECT count(*) FROM ended s WHERE s.queue = q.id AND s.state = 'cancelled') AS cancelled,
    (SELECT coalesce(sum(j.size), 0) FROM (
       SELECT job FROM scheduled WHERE queue = q.id UNION ALL SELECT job FROM ready WHERE queue = q.id
       UNION ALL SELECT job FROM held WHERE queue = q.id UNION ALL SELECT job FROM ready_for WHERE queue = q.id
       UNION ALL SELECT job FROM waiting WHERE queue = q.id UNION ALL SELECT job FROM leased WHERE queue = q.id
     ) w JOIN job j ON j.id = w.job WHERE j.size BETWEEN 0 AND 9007199254740991) AS bytes,
    (SELECT coalesce(sum(j.size + coalesce(length(s.result), 0)), 0) FROM ended s JOIN job j ON j.id = s.job
     WHERE s.queue = q.id AND s.state IN ('concluded', 'cancelled') AND j.size BETWEEN 0 AND 9007199254740991) AS history_bytes
  FROM queue q
)
SELECT 'queue', q.name, 'counts', q.scheduled, q.ready, q.leased, q.concluded, q.dead, q.cancelled, q.bytes, q.history_bytes,
       'but has', c.scheduled, c.ready, c.leased, c.concluded, c.dead, c.cancelled, c.bytes, c.history_bytes
FROM queue q JOIN counted c ON c.id = q.id
WHERE (q.scheduled, q.ready, q.leased, q.concluded, q.dead, q.cancelled, q.bytes, q.history_bytes)
   IS NOT (c.scheduled, c.ready, c.leased, c.concluded, c.dead, c.cancelled, c.bytes, c.history_bytes) LIMIT 20
