-- The types of these jobs.
SELECT id, type FROM job WHERE id IN (SELECT value FROM json_each(?))
