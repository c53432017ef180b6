-- The types of these jobs.
SELECT id, type FROM job WHERE id = ANY($1::bigint[])
