-- As bytes: one may be invalid text.
SELECT 'queue', id, CAST(name AS BLOB) FROM queue
UNION ALL SELECT 'schedule', NULL, CAST(name AS BLOB) FROM schedule
UNION ALL SELECT 'worker', NULL, CAST(id AS BLOB) FROM worker
