-- A page of batches, the newest first. ?2: open, closed or finished; NULL: any.
SELECT id, name, created_at, queues, closed, pending, concluded, dead, cancelled, success, finish, failure, ended_at, level
FROM job_batch WHERE id < ?1 AND (?2 IS NULL OR ?2 = CASE WHEN closed = 0 THEN 'open' WHEN pending = 0 THEN 'finished' ELSE 'closed' END)
ORDER BY id DESC LIMIT ?3
