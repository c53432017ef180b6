-- How many lines without jobs one priority of a queue has, where these are more than so many.
SELECT queue, priority, count(*) FROM fair_line WHERE waiting <= 0 GROUP BY queue, priority HAVING count(*) > ?
