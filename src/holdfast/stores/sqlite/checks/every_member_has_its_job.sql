-- Members of batches without a job.
SELECT 'batch', m.job_batch, 'has the member', m.job, 'which is not there'
FROM job_batch_member m WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = m.job) LIMIT 20
