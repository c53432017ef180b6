-- By queue, the earliest of the first jobs of its priorities. One row of the parameters for each queue and priority: see next_ready.sql.
SELECT h.queue, min(r.ready_at) FROM unnest($1::int[], $2::bigint[], $3::bigint[]) h(queue, priority, low)
CROSS JOIN LATERAL (SELECT t.ready_at FROM ready t WHERE t.queue = h.queue AND t.priority = h.priority AND t.job >= h.low
                    ORDER BY t.job LIMIT 1) r
GROUP BY h.queue
