-- The members of a batch that are still there, by what has become of them: pending, concluded, dead, cancelled.
SELECT count(*) - count(e.job), count(*) FILTER (WHERE e.state = 'concluded'), count(*) FILTER (WHERE e.state = 'dead'), count(*) FILTER (WHERE e.state = 'cancelled')
FROM job_batch_member m LEFT JOIN ended e ON e.job = m.job WHERE m.job_batch = $1
