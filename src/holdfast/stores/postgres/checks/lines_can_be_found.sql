-- Ready jobs with an id below the floor that their queue records for their priority, or with a priority for which it records none: no lease would find them.
SELECT 'queue', q.name, 'has ready jobs of priority', l.priority, 'from job', l.job, 'that it keeps no account of'
FROM (SELECT queue, priority, min(job) AS job FROM ready GROUP BY queue, priority) l JOIN queue q ON q.id = l.queue
CROSS JOIN LATERAL (SELECT q.ready_floors -> l.priority::text AS begins) f
WHERE q.ready_floors IS NOT NULL AND CASE WHEN jsonb_typeof(f.begins) = 'number' THEN l.job < f.begins::numeric ELSE true END LIMIT 20
