-- How many running workers a queue has, and how many workers there are in all.
SELECT count(*) FILTER (WHERE state = 'running' AND strpos(queues, to_json($1::text)::text) > 0), count(*) FROM worker
