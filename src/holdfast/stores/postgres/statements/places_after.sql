-- Places of the ready jobs of one queue behind one place, in order.
SELECT priority, job FROM ready WHERE queue = $1 AND (priority, job) > ($2::bigint, $3::bigint) ORDER BY priority, job LIMIT $4
