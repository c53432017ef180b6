-- Remove heartbeats of workers that are no longer registered. The two excluded rows are marks of the nodes: see `served.sql`.
DELETE FROM beat b WHERE NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = b.worker) AND b.worker NOT IN ('served', 'graced')
