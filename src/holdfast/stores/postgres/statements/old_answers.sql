-- A chunk of the old answers, oldest first, and whether one of their jobs still exists.
SELECT at, scope, key, EXISTS (SELECT 1 FROM job WHERE id BETWEEN k.first_job AND k.last_job)
FROM kept_answer k WHERE at < $1 AND (at, scope, key) > ($2::bigint, $3::text, $4::text) ORDER BY at, scope, key LIMIT $5
