-- The lines of one priority of a queue whose turn is next: $1 queue, $2 priority, $3 no line has an earlier turn, $4 how many.
SELECT queue, priority, fair, turn, waiting, first, last, weight FROM fair_line
WHERE queue = $1 AND priority = $2 AND turn >= $3 AND waiting > 0 ORDER BY turn, last, fair LIMIT $4
