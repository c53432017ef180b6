-- The first job of each of several lines of one priority of a queue, with its content: $1 queue, $2 priority, $3 keys, $4 none has a lower id.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0,
       j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY s.priority, s.job) - j.size < 16777216 THEN j.payload END
FROM (SELECT r.* FROM unnest($3::text[], $4::bigint[]) l(fair, first)
      CROSS JOIN LATERAL (SELECT k.* FROM ready k WHERE k.queue = $1 AND k.priority = $2 AND k.fair = l.fair AND k.job >= l.first AND k.fair IS NOT NULL
                          ORDER BY k.job LIMIT 1) r) s
JOIN job j ON j.id = s.job ORDER BY s.priority, s.job
