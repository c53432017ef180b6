-- How many running workers take from a queue, and how many workers there are at all.
SELECT count(*) FILTER (WHERE state = 'running' AND EXISTS (SELECT 1 FROM json_each(w.queues) WHERE value = ?)), count(*) FROM worker w
