SELECT v.* FROM (
  (SELECT job, ended_at FROM ended WHERE queue = $1 AND state = 'concluded' AND ended_at < $2 ORDER BY ended_at, job LIMIT $3)
  UNION ALL
  (SELECT job, ended_at FROM ended WHERE queue = $1 AND state = 'cancelled' AND ended_at < $2 ORDER BY ended_at, job LIMIT $3)
  ORDER BY ended_at, job LIMIT $3
) e JOIN ended_job v ON v.id = e.job ORDER BY v.ended_at, v.id
