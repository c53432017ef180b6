-- Ids and fences go on after these.
SELECT setval('job_id', greatest($1::bigint, coalesce(pg_sequence_last_value('job_id'::regclass), 1))),
       setval('fence', greatest($2::bigint, coalesce(pg_sequence_last_value('fence'::regclass), 1)))
