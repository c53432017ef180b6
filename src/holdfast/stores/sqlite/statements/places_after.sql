-- Places of the ready jobs of one queue behind one place, in order.
SELECT priority, job FROM ready WHERE queue = ? AND (priority, job) > (?, ?) ORDER BY priority, job LIMIT ?
