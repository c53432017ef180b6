-- A node is running: writes its mark, and returns the previous mark and the end of the last grace. By the database's clock, not the
-- batches'. The table is unlogged, so a failover empties it: no node was running for a while then either.
WITH moment AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now), before AS MATERIALIZED (
  SELECT worker, at FROM beat WHERE worker IN ('served', 'graced')
), marked AS (
  INSERT INTO beat(worker, at) SELECT 'served', now FROM moment ON CONFLICT (worker) DO UPDATE SET at = excluded.at
)
SELECT now - (SELECT at FROM before WHERE worker = 'served') AS away_ms, (SELECT at FROM before WHERE worker = 'graced') AS graced FROM moment
