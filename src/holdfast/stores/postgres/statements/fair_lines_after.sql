-- Lines of one queue with keys behind one, in the order of the keys.
SELECT queue, priority, fair, turn, waiting, first, last, weight FROM fair_line WHERE queue = $1 AND fair > $2 ORDER BY fair, priority LIMIT $3
