-- What has become visible in the inbox since a snapshot: of transactions that had not ended then ($2) or not begun ($1), from a place on. Rows of
-- others were seen before, and however many dead ones there are, they are not walked over again. The first column is the snapshot of this look.
SELECT pg_current_snapshot()::text, n.xact::text, n.job, n.size
FROM (VALUES (1)) AS one LEFT JOIN (
  (SELECT i.xact, i.job, i.size FROM inbox i
   WHERE i.xact = ANY($2::text[]::xid8[]) AND (i.xact, i.job) > ($3::text::xid8, $4::bigint) ORDER BY i.xact, i.job LIMIT $5::bigint)
  UNION ALL
  (SELECT i.xact, i.job, i.size FROM inbox i
   WHERE i.xact >= $1::text::xid8 AND (i.xact, i.job) > ($3::text::xid8, $4::bigint) ORDER BY i.xact, i.job LIMIT $5::bigint)
  ORDER BY 1, 2 LIMIT $5::bigint
) AS n ON true
