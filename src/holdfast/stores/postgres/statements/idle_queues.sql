-- Fair queues with something to forget: lines that new ones would equal, priorities without any, or ($2) more than $3 lines without jobs.
SELECT DISTINCT c.queue FROM fair_clock c
WHERE EXISTS (SELECT 1 FROM fair_line l WHERE l.queue = c.queue AND l.priority = c.priority AND l.waiting <= 0 AND l.turn <= c.now)
   OR (c.lines <= 0 AND NOT EXISTS (SELECT 1 FROM fair_line l WHERE l.queue = c.queue AND l.priority = c.priority))
   OR ($2 AND (SELECT count(*) FROM fair_line l WHERE l.queue = c.queue AND l.priority = c.priority AND l.waiting <= 0) > $3::bigint)
LIMIT $1
