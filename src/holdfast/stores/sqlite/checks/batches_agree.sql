-- Batches that count other members than they have. What has ended may be forgotten, so that there may be fewer of these.
WITH counted AS (
  SELECT m.job_batch AS id, count(*) - count(e.job) AS pending, sum(e.state IS 'concluded') AS concluded, sum(e.state IS 'dead') AS dead,
         sum(e.state IS 'cancelled') AS cancelled
  FROM job_batch_member m LEFT JOIN ended e ON e.job = m.job GROUP BY m.job_batch
),
promised AS (SELECT member_of AS id, count(*) AS jobs FROM job_batch_closing WHERE member_of IS NOT NULL GROUP BY member_of)
SELECT 'batch', b.id, 'counts', b.pending, b.concluded, b.dead, b.cancelled, 'but has', coalesce(c.pending, 0) + coalesce(p.jobs, 0), coalesce(c.concluded, 0),
       coalesce(c.dead, 0), coalesce(c.cancelled, 0)
FROM job_batch b LEFT JOIN counted c ON c.id = b.id LEFT JOIN promised p ON p.id = b.id
WHERE b.pending <> coalesce(c.pending, 0) + coalesce(p.jobs, 0) OR b.dead <> coalesce(c.dead, 0)
   OR b.concluded < coalesce(c.concluded, 0) OR b.cancelled < coalesce(c.cancelled, 0) LIMIT 20
