-- How many jobs wait in each worker's own line.
SELECT worker, count(*) FROM ready_for GROUP BY worker
