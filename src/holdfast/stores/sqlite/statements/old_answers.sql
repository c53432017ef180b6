-- A chunk of the old answers, oldest first, and whether one of their jobs still exists. Keys as bytes: one may be invalid text.
SELECT at, CAST(scope AS BLOB), CAST(key AS BLOB), EXISTS (SELECT 1 FROM job WHERE id BETWEEN k.first_job AND k.last_job)
FROM kept_answer k WHERE at < ? AND (at, scope, key) > (?, CAST(? AS TEXT), CAST(? AS TEXT)) ORDER BY at, scope, key LIMIT ?
