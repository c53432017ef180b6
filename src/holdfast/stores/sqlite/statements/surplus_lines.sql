-- Of these, those that are ahead of the others the least.
SELECT queue, priority, fair FROM fair_line WHERE queue = ? AND priority = ? AND waiting <= 0 ORDER BY turn LIMIT ?
