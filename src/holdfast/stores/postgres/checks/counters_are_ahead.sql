-- Sequences that are behind an id in use: they would return it again.
SELECT 'job', coalesce(pg_sequence_last_value('job_id'::regclass), 0), 'is behind', newest
FROM (SELECT max(id) AS newest FROM job) j WHERE newest > coalesce(pg_sequence_last_value('job_id'::regclass), 0)
UNION ALL
SELECT 'fence', coalesce(pg_sequence_last_value('fence'::regclass), 0), 'is behind', newest
FROM (SELECT greatest((SELECT max(fence) FROM leased), (SELECT max(fence) FROM ended)) AS newest) f
WHERE newest > coalesce(pg_sequence_last_value('fence'::regclass), 0)
UNION ALL
SELECT 'queue', coalesce(pg_sequence_last_value(pg_get_serial_sequence('queue', 'id')::regclass), 0), 'is behind', newest
FROM (SELECT max(id) AS newest FROM queue) q WHERE newest > coalesce(pg_sequence_last_value(pg_get_serial_sequence('queue', 'id')::regclass), 0)
