-- Places of the first ready jobs of one type in a queue that is kept by type.
SELECT priority, job FROM ready INDEXED BY ready_type WHERE queue = ? AND type = ? AND type IS NOT NULL ORDER BY priority, job LIMIT ?
