-- Lines without jobs that new ones would equal, of the next ?4 lines behind a place: ?1 queue, ?2 key, ?3 priority, ?5 how many.
SELECT l.queue, l.priority, l.fair FROM (
  SELECT queue, fair, priority, turn, waiting FROM fair_line WHERE (queue, fair, priority) > (?1, ?2, ?3) ORDER BY queue, fair, priority LIMIT ?4) l
CROSS JOIN fair_clock c ON c.queue = l.queue AND c.priority = l.priority WHERE l.waiting <= 0 AND l.turn <= c.now LIMIT ?5
