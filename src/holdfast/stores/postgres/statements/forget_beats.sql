-- Of workers that are not registered any more.
DELETE FROM beat b WHERE NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = b.worker)
