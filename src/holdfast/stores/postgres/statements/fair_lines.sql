-- Lines as they are, and as new ones would be, with the weights of their keys: $1 queues, $2 priorities, $3 keys.
SELECT k.queue, k.priority, k.fair, coalesce(l.turn, 0), coalesce(l.waiting, 0), coalesce(l.first, 0), coalesce(l.last, 0), coalesce(l.weight, w.weight, 1)
FROM unnest($1::int[], $2::bigint[], $3::text[]) k(queue, priority, fair)
LEFT JOIN fair_line l ON l.queue = k.queue AND l.fair = k.fair AND l.priority = k.priority
LEFT JOIN fair_weight w ON w.queue = k.queue AND w.fair = k.fair
