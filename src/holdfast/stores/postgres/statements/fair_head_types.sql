-- The same of those that have a job of one of the types $5.
SELECT l.queue, l.priority, l.fair, l.turn, l.waiting, l.first, l.last, l.weight FROM fair_line l
WHERE l.queue = $1 AND l.priority = $2 AND l.turn >= $3 AND l.waiting > 0
AND EXISTS (SELECT 1 FROM unnest($5::text[]) t(type) CROSS JOIN LATERAL (
              SELECT 1 FROM ready r WHERE r.queue = l.queue AND r.type = t.type AND r.priority = l.priority AND r.fair = l.fair AND r.job >= l.first
              AND r.fair IS NOT NULL AND r.type IS NOT NULL LIMIT 1) one)
ORDER BY l.turn, l.last, l.fair LIMIT $4
