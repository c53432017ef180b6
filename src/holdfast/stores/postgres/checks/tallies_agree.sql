-- Queues with a tally that differs from their rows.
WITH placed AS (
  SELECT queue, job, 'scheduled' AS state FROM scheduled UNION ALL SELECT queue, job, 'ready' FROM ready UNION ALL SELECT queue, job, 'ready' FROM held
  UNION ALL SELECT queue, job, 'ready' FROM ready_for UNION ALL SELECT queue, job, 'ready' FROM waiting UNION ALL SELECT queue, job, 'leased' FROM leased UNION ALL SELECT queue, job, state FROM ended
),
counted AS (
  SELECT p.queue, count(*) FILTER (WHERE p.state = 'scheduled') AS scheduled, count(*) FILTER (WHERE p.state = 'ready') AS ready,
         count(*) FILTER (WHERE p.state = 'leased') AS leased, count(*) FILTER (WHERE p.state = 'concluded') AS concluded,
         count(*) FILTER (WHERE p.state = 'dead') AS dead, count(*) FILTER (WHERE p.state = 'cancelled') AS cancelled,
         coalesce(sum(j.size) FILTER (WHERE p.state IN ('scheduled', 'ready', 'leased') AND j.size BETWEEN 0 AND 9007199254740991), 0) AS bytes,
         coalesce(sum(j.size + coalesce(octet_length(e.result), 0))
                  FILTER (WHERE p.state IN ('concluded', 'cancelled') AND j.size BETWEEN 0 AND 9007199254740991), 0) AS history_bytes
  FROM placed p JOIN job j ON j.id = p.job LEFT JOIN ended e ON e.job = p.job GROUP BY p.queue
)
SELECT 'queue', coalesce(q.name, c.queue::text), 'counts', q.scheduled, q.ready, q.leased, q.concluded, q.dead, q.cancelled, q.bytes, q.history_bytes,
       'but has', coalesce(c.scheduled, 0), coalesce(c.ready, 0), coalesce(c.leased, 0), coalesce(c.concluded, 0), coalesce(c.dead, 0),
       coalesce(c.cancelled, 0), coalesce(c.bytes, 0), coalesce(c.history_bytes, 0)
FROM queue q FULL JOIN counted c ON c.queue = q.id
WHERE (q.scheduled, q.ready, q.leased, q.concluded, q.dead, q.cancelled, q.bytes, q.history_bytes) IS DISTINCT FROM
  (coalesce(c.scheduled, 0), coalesce(c.ready, 0), coalesce(c.leased, 0), coalesce(c.concluded, 0), coalesce(c.dead, 0),
   coalesce(c.cancelled, 0), coalesce(c.bytes, 0), coalesce(c.history_bytes, 0)) LIMIT 20
