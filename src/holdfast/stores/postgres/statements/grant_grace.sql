-- Leases that another batch is ending now are left to it.
WITH marked AS (
  INSERT INTO beat(worker, at) VALUES ('graced', $1::bigint) ON CONFLICT (worker) DO UPDATE SET at = excluded.at
), granted AS (
  UPDATE leased SET until = $1::bigint
  -- An array is evaluated once; a subquery after IN might run once per row, each time with its own limit.
  WHERE fence = ANY(ARRAY(SELECT fence FROM leased WHERE until < $1::bigint ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM granted
