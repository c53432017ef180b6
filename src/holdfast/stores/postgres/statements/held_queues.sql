-- Those of the queues $1 that a transaction has locked for at least $2 ms, and that transaction. A queue's row names the transaction; nothing is
-- locked by this query. Batches of other nodes are shorter than that.
SELECT q.id, q.name, coalesce(a.pid, 0) AS pid, coalesce(nullif(a.application_name, ''), a.backend_type, 'a prepared transaction') AS program,
       coalesce(a.state, 'unknown') AS state, coalesce((extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::bigint, $2) AS ms
FROM unnest($1::int[]) w(id)
CROSS JOIN LATERAL (SELECT n.id, n.name, n.xmax FROM queue n WHERE n.id BETWEEN w.id AND w.id ORDER BY n.id DESC LIMIT 1) q
JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = q.xmax AND l.mode = 'ExclusiveLock' AND l.granted
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE a.xact_start IS NULL OR a.xact_start <= clock_timestamp() - $2 * interval '1 ms'
