-- How many running workers take from a queue, and how many workers there are at all.
SELECT count(*) FILTER (WHERE state = 'running' AND queues::jsonb ? $1), count(*) FROM worker
