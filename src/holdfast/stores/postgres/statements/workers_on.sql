-- How many running workers a queue has, how many workers there are in all, and how many of the first take a type.
SELECT count(*) FILTER (WHERE state = 'running' AND strpos(queues, to_json($1::text)::text) > 0), count(*),
  count(*) FILTER (WHERE state = 'running' AND strpos(queues, to_json($1::text)::text) > 0
                   AND (types IS NULL OR strpos(types, to_json($2::text)::text) > 0))
FROM worker
