-- Which of these queues have a job that ended before $2.
SELECT v.id FROM unnest($1::int[], $2::bigint[]) v(id, before)
WHERE EXISTS (SELECT 1 FROM ended e WHERE e.queue = v.id AND e.state = 'concluded' AND e.ended_at < v.before)
   OR EXISTS (SELECT 1 FROM ended e WHERE e.queue = v.id AND e.state = 'cancelled' AND e.ended_at < v.before)
