-- The number of ready jobs that only one worker may lease, by worker.
SELECT worker, count(*) FROM ready_for GROUP BY worker
