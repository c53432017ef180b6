SELECT * FROM (
  SELECT * FROM (SELECT v.* FROM ended e CROSS JOIN ended_job v ON v.id = e.job
                 WHERE e.queue = ?1 AND e.state = 'concluded' AND e.ended_at < ?2 ORDER BY e.ended_at LIMIT ?3)
  UNION ALL
  SELECT * FROM (SELECT v.* FROM ended e CROSS JOIN ended_job v ON v.id = e.job
                 WHERE e.queue = ?1 AND e.state = 'cancelled' AND e.ended_at < ?2 ORDER BY e.ended_at LIMIT ?3)
) ORDER BY ended_at, id LIMIT ?3
