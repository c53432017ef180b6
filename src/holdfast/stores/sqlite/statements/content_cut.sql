-- A payload's first bytes; with 0 it is not read at all. Of an empty blob SQLite's substr makes NULL.
SELECT type, content_type, CASE WHEN ?2 = 0 THEN x'' ELSE coalesce(substr(payload, 1, ?2), x'') END FROM job WHERE id = ?1
