-- A bite of the old answers, oldest first, and whether a job of theirs is still there.
SELECT at, scope, key, EXISTS (SELECT 1 FROM job WHERE id BETWEEN k.first_job AND k.last_job)
FROM kept_answer k WHERE at < ? AND (at, scope, key) > (?, ?, ?) ORDER BY at, scope, key LIMIT ?
