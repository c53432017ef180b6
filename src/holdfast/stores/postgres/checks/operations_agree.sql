-- Operations of a state that does not go with their end, or whose number is not one of the jobs' yet: new jobs would be among theirs.
SELECT 'operation', id, 'is', state, 'and has', CASE WHEN ended_at IS NULL THEN 'no end' ELSE 'an end' END FROM operation
WHERE (state IN ('running', 'paused')) <> (ended_at IS NULL) OR state NOT IN ('running', 'paused', 'done', 'cancelled')
UNION ALL
SELECT 'operation', id, 'is ahead of', 'the last job,', 'which is', CAST(coalesce(pg_sequence_last_value('job_id'::regclass), 0) AS text) FROM operation WHERE id > coalesce(pg_sequence_last_value('job_id'::regclass), 0)
