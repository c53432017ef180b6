-- Queues with a row that a transaction has locked for at least $1 seconds, and the program, the oldest first.
SELECT q.name, format('session %s of %s (%s), %s', a.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), a.backend_type, '?'),
              coalesce(a.state, '?')) AS who, a.pid, extract(epoch FROM clock_timestamp() - a.xact_start)::bigint AS seconds
  FROM holdfast.queue q
  JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = q.xmax AND l.mode = 'ExclusiveLock' AND l.granted
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE a.xact_start IS NULL OR a.xact_start <= clock_timestamp() - $1 * interval '1 s'
 ORDER BY a.xact_start NULLS LAST LIMIT 20
