-- A node serves: its mark, the mark before, and the end of the latest grace. By the clock of the database, whatever the batches' own clock says.
-- The table is not logged, so a failover empties it: then nobody served for a while either.
WITH moment AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now), before AS MATERIALIZED (
  SELECT worker, at FROM beat WHERE worker IN ('served', 'graced')
), marked AS (
  INSERT INTO beat(worker, at) SELECT 'served', now FROM moment ON CONFLICT (worker) DO UPDATE SET at = excluded.at
)
SELECT now - (SELECT at FROM before WHERE worker = 'served') AS away_ms, (SELECT at FROM before WHERE worker = 'graced') AS graced FROM moment
