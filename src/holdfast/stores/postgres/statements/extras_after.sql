-- For a check: the columns to decode, as bytes, page by page of the jobs.
SELECT j.id, (SELECT q.name FROM queue q WHERE q.id = j.queue) AS queue, convert_to(j.extras, 'UTF8') AS extras
FROM job j WHERE j.id > $1 AND j.extras IS NOT NULL ORDER BY j.id LIMIT $2
