-- How many keys of a queue have jobs that wait, how many jobs these are, and what the keys weigh together.
SELECT count(*), CAST(coalesce(sum(keys.jobs), 0) AS bigint), CAST(coalesce(sum(keys.weight), 0) AS bigint)
FROM (SELECT sum(waiting) AS jobs, max(weight) AS weight FROM fair_line WHERE queue = ?1 AND waiting > 0 GROUP BY fair) keys
