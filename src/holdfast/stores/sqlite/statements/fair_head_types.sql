-- The same of those that have a job of one of these types, a JSON list.
SELECT l.queue, l.priority, l.fair, l.turn, l.waiting, l.first, l.last, l.weight FROM fair_line l INDEXED BY fair_line_next
WHERE l.queue = ?1 AND l.priority = ?2 AND l.turn >= ?3 AND l.waiting > 0
AND EXISTS (SELECT 1 FROM json_each(?5) t CROSS JOIN ready r INDEXED BY ready_fair_type
            WHERE r.queue = l.queue AND r.type = t.value AND r.priority = l.priority AND r.fair = l.fair AND r.job >= l.first AND r.fair IS NOT NULL AND r.type IS NOT NULL)
ORDER BY l.turn, l.last, l.fair LIMIT ?4
