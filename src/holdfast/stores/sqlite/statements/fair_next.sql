-- Which lines of one priority of a queue are next, as `fair_head`: out of the index alone.
SELECT queue, priority, fair FROM fair_line INDEXED BY fair_line_next
WHERE queue = ?1 AND priority = ?2 AND turn >= ?3 AND waiting > 0 ORDER BY turn, last, fair LIMIT ?4
