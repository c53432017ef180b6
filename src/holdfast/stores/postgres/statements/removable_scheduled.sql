SELECT v.* FROM (SELECT job FROM scheduled WHERE queue = $1 AND job <= $2 LIMIT $3) s JOIN scheduled_job v ON v.id = s.job
