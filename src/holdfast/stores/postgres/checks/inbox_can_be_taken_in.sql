-- Jobs that were enqueued by SQL, and that are not as `holdfast.enqueue` writes them: their ids are those of other jobs, or were never given.
SELECT 'job', i.job, 'has the id of another job' FROM inbox i WHERE EXISTS (SELECT FROM job j WHERE j.id = i.job)
UNION ALL
SELECT 'job', i.job, 'has an id that was never given' FROM inbox i WHERE i.job > coalesce(pg_sequence_last_value('job_id'::regclass), 0)
UNION ALL
SELECT 'job', i.job, 'does not have its size' FROM inbox i WHERE i.size <> octet_length(i.payload) + octet_length(i.options)
UNION ALL
SELECT 'job', i.job, 'has an idempotency key without its request' FROM inbox i WHERE (i.idempotency_key IS NULL) <> (i.digest IS NULL)
LIMIT 20
