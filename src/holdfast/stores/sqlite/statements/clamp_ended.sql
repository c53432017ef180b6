-- Times that are too far ahead: one index lookup at the end of each queue's history.
UPDATE ended SET ended_at = ?1 WHERE job IN (
  SELECT e.job FROM queue q
  CROSS JOIN (SELECT 'concluded' AS state UNION ALL SELECT 'dead' UNION ALL SELECT 'cancelled') s
  CROSS JOIN ended e ON e.queue = q.id AND e.state = s.state AND e.ended_at > ?2
  LIMIT ?3
)
