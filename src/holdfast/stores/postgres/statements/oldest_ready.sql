-- By queue, when its oldest ready job became ready: the earliest among the first job of each priority. For the parameters see next_ready.sql.
SELECT h.queue, min(r.ready_at) FROM unnest($1::int[], $2::bigint[], $3::bigint[]) h(queue, priority, low)
CROSS JOIN LATERAL (SELECT t.ready_at FROM ready t WHERE t.queue = h.queue AND t.priority = h.priority AND t.job >= h.low
                    ORDER BY t.job LIMIT 1) r
GROUP BY h.queue
