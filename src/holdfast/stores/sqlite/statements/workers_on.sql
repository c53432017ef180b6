-- How many running workers a queue has, and how many workers there are in all.
SELECT count(*) FILTER (WHERE state = 'running' AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(w.queues) THEN w.queues ELSE '[]' END) WHERE value = ?)), count(*) FROM worker w
