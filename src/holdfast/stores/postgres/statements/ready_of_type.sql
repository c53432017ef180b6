-- Places of the first ready jobs of each of several types in a queue that is kept by type: $1 queue, $2 types, $3 how many.
SELECT k.priority, k.job FROM unnest($2::text[]) t(type)
CROSS JOIN LATERAL (SELECT r.priority, r.job FROM ready r WHERE r.queue = $1 AND r.type = t.type AND r.type IS NOT NULL
                    ORDER BY r.priority, r.job LIMIT $3) k
ORDER BY k.priority, k.job LIMIT $3
