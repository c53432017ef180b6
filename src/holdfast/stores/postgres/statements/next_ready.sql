-- The heads of the lines of several queues, with what their workers are given: the hot half of a lease. No row is locked but the queue's: whoever
-- takes from a queue or puts into it holds that. One row of the parameters for each queue and priority: $3 is a number that no ready job
-- of it is below, so that the dead rows in front of it are not walked over; $4 is how many the queue may give.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text,
       j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY s.queue, s.place) - j.size < 16777216 THEN j.payload END
FROM (SELECT r.*, h.most, row_number() OVER (PARTITION BY r.queue ORDER BY r.priority, r.job) AS place
      FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::int[]) h(queue, priority, low, most)
      CROSS JOIN LATERAL (SELECT t.* FROM ready t WHERE t.queue = h.queue AND t.priority = h.priority AND t.job >= h.low
                          ORDER BY t.job LIMIT h.most) r) s
JOIN job j ON j.id = s.job
WHERE s.place <= s.most ORDER BY s.queue, s.place
