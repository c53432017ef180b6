-- Ready jobs of one queue behind one place, in order, with their extras.
SELECT s.priority, s.job, j.extras
FROM (SELECT r.priority, r.job FROM ready r WHERE r.queue = $1 AND (r.priority, r.job) > ($2::bigint, $3::bigint) ORDER BY r.priority, r.job LIMIT $4) s
LEFT JOIN job j ON j.id = s.job ORDER BY s.priority, s.job
