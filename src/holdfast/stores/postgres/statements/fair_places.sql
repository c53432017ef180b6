-- The first jobs of several lines of one queue: $1 queue, $2 priorities, $3 keys, $4 none has a lower id, $5 how many of each.
SELECT l.priority, l.fair, r.job FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::int[]) l(priority, fair, first, most)
CROSS JOIN LATERAL (SELECT k.job FROM ready k WHERE k.queue = $1 AND k.priority = l.priority AND k.fair = l.fair AND k.job >= l.first AND k.fair IS NOT NULL
                    ORDER BY k.job LIMIT l.most) r
