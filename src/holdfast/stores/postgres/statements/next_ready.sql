-- The first ready jobs of several queues, with their contents: for most leases. Only the queue's row is locked, which every
-- batch that leases from a queue or enqueues into it holds. The parameters have a row for each queue and priority: no ready job is
-- below $3, so that the dead rows in front of it are skipped; $4 is how many jobs the queue may lease.
SELECT j.id, s.queue, 'ready', s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
       s.ready_at, j.extras, false, NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::boolean, NULL::bigint, NULL::text, 0,
       j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY s.queue, s.place) - j.size < 16777216 THEN j.payload END
FROM (SELECT r.*, h.most, row_number() OVER (PARTITION BY r.queue ORDER BY r.priority, r.job) AS place
      FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::int[]) h(queue, priority, low, most)
      CROSS JOIN LATERAL (SELECT t.* FROM ready t WHERE t.queue = h.queue AND t.priority = h.priority AND t.job >= h.low
                          ORDER BY t.job LIMIT h.most) r) s
JOIN job j ON j.id = s.job
WHERE s.place <= s.most ORDER BY s.queue, s.place
