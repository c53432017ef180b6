-- The line that is ?4 + 1 behind a place.
SELECT queue, fair, priority FROM fair_line WHERE (queue, fair, priority) > (?1, ?2, ?3) ORDER BY queue, fair, priority LIMIT 1 OFFSET ?4
