SELECT v.* FROM (SELECT job FROM scheduled WHERE queue = $1 ORDER BY ready_at, job LIMIT $2) s JOIN scheduled_job v ON v.id = s.job ORDER BY v.ready_at, v.id
