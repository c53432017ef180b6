SELECT v.* FROM (SELECT job FROM ended WHERE queue = $1 AND state = 'dead' ORDER BY ended_at, job LIMIT $2) s JOIN ended_job v ON v.id = s.job ORDER BY v.ended_at, v.id
