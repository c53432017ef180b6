-- How many jobs wait in lines of a queue with a lower priority than $2.
SELECT CAST(coalesce(sum(waiting), 0) AS bigint) FROM fair_line WHERE queue = $1 AND priority < $2 AND waiting > 0
