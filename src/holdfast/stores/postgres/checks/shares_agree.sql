-- Lines of fair keys that count other jobs than there are, and clocks that count other lines: of queues that are fair, once their jobs are sorted.
WITH whole(id, name) AS (SELECT id, name FROM queue WHERE sharing = '{}'),
counted(queue, priority, fair, jobs, first) AS (
  SELECT s.queue, s.priority, coalesce(s.fair, ''), count(*), min(s.job)
  FROM whole w JOIN ready s ON s.queue = w.id GROUP BY 1, 2, 3
)
SELECT * FROM (
  SELECT 'queue', w.name, 'priority', c.priority::text, 'key', c.fair, 'has jobs:', c.jobs::text, 'and counts', coalesce(l.waiting, 0)::text, 'from', l.first::text
  FROM counted c JOIN whole w ON w.id = c.queue LEFT JOIN fair_line l ON l.queue = c.queue AND l.priority = c.priority AND l.fair = c.fair
  WHERE l.waiting IS DISTINCT FROM c.jobs OR l.first > c.first
  UNION ALL
  SELECT 'queue', w.name, 'priority', l.priority::text, 'key', l.fair, 'has no jobs', '', 'and counts', l.waiting::text, 'from', l.first::text
  FROM fair_line l JOIN whole w ON w.id = l.queue
  WHERE l.waiting <> 0 AND NOT EXISTS (SELECT 1 FROM counted c WHERE c.queue = l.queue AND c.priority = l.priority AND c.fair = l.fair)
  UNION ALL
  SELECT 'queue', w.name, 'priority', l.priority::text, 'has lines:', sum((l.waiting > 0)::int)::text, 'and counts', min(c.lines)::text,
         'from turn', min(c.low)::text, 'up to', min(c.most)::text
  FROM fair_line l JOIN whole w ON w.id = l.queue LEFT JOIN fair_clock c ON c.queue = l.queue AND c.priority = l.priority
  GROUP BY w.name, l.queue, l.priority
  HAVING min(c.lines) IS DISTINCT FROM sum((l.waiting > 0)::int) OR min(c.most) < max(l.turn) OR min(c.low) > min(l.turn) FILTER (WHERE l.waiting > 0)
) found LIMIT 20
