-- How many running workers take from a queue, and how many workers there are at all.
SELECT count(*) FILTER (WHERE state = 'running' AND strpos(queues, to_json($1::text)::text) > 0), count(*) FROM worker
