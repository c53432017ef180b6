SELECT c.queue, c.priority, c.now, c.most, c.low, c.lines
FROM unnest($1::int[], $2::bigint[]) k(queue, priority) JOIN fair_clock c ON c.queue = k.queue AND c.priority = k.priority
