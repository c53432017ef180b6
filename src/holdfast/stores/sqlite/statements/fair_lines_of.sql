-- The lines of a queue: ?1, ?2 how many.
SELECT queue, priority, fair, turn, waiting, first, last, weight FROM fair_line WHERE queue = ?1 LIMIT ?2
