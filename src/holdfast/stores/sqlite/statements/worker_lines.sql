-- How many ready jobs are for each worker only.
SELECT worker, count(*) FROM ready_for GROUP BY worker
