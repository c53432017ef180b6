SELECT v.* FROM (SELECT job FROM ended WHERE queue = $1 AND job <= $2 AND state = $3 LIMIT $4) s JOIN ended_job v ON v.id = s.job
