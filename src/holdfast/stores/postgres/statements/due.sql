SELECT v.* FROM (SELECT job FROM scheduled WHERE ready_at <= $1 AND ready_at >= $2 AND queue = ANY($3::int[]) ORDER BY ready_at, job LIMIT $4) s
JOIN scheduled_job v ON v.id = s.job ORDER BY v.ready_at, v.id
