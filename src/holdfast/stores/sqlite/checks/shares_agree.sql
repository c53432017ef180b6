-- Lines of fair keys that count other jobs than there are, and clocks that count other lines: of queues that are fair, once their jobs are sorted.
WITH whole(id, name) AS (SELECT id, name FROM queue WHERE sharing = '{}'),
counted(queue, priority, fair, jobs, first) AS (
  SELECT s.queue, s.priority, coalesce(s.fair, ''), count(*), min(s.job)
  FROM whole w JOIN ready s ON s.queue = w.id GROUP BY 1, 2, 3
)
SELECT * FROM (
  SELECT 'queue', w.name, 'priority', c.priority, 'key', c.fair, 'has jobs:', c.jobs, 'and counts', coalesce(l.waiting, 0), 'from', l.first
  FROM counted c JOIN whole w ON w.id = c.queue LEFT JOIN fair_line l ON l.queue = c.queue AND l.priority = c.priority AND l.fair = c.fair
  WHERE l.waiting IS NOT c.jobs OR l.first > c.first
  UNION ALL
  SELECT 'queue', w.name, 'priority', l.priority, 'key', l.fair, 'has no jobs', '', 'and counts', l.waiting, 'from', l.first
  FROM fair_line l JOIN whole w ON w.id = l.queue
  WHERE l.waiting <> 0 AND NOT EXISTS (SELECT 1 FROM counted c WHERE c.queue = l.queue AND c.priority = l.priority AND c.fair = l.fair)
  UNION ALL
  SELECT 'queue', w.name, 'priority', l.priority, 'has lines:', sum(l.waiting > 0), 'and counts', c.lines, 'from turn', c.low, 'up to', c.most
  FROM fair_line l JOIN whole w ON w.id = l.queue LEFT JOIN fair_clock c ON c.queue = l.queue AND c.priority = l.priority
  GROUP BY l.queue, l.priority HAVING c.lines IS NOT sum(l.waiting > 0) OR c.most < max(l.turn) OR c.low > min(CASE WHEN l.waiting > 0 THEN l.turn END)
) LIMIT 20
