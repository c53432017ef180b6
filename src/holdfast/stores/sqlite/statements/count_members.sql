-- The members of a batch that are still there, by what has become of them: pending, concluded, dead, cancelled.
SELECT count(*) - count(e.job), coalesce(sum(e.state IS 'concluded'), 0), coalesce(sum(e.state IS 'dead'), 0), coalesce(sum(e.state IS 'cancelled'), 0)
FROM job_batch_member m LEFT JOIN ended e ON e.job = m.job WHERE m.job_batch = ?
