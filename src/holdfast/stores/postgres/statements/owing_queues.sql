-- The queues of closing jobs that are owed, of a page of batches.
SELECT DISTINCT q.id FROM (SELECT queue FROM job_batch_closing WHERE owed AND job_batch > $1 ORDER BY job_batch LIMIT 3 * $2) c JOIN queue q ON q.name = c.queue
