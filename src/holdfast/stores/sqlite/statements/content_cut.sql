-- The first bytes of a payload; with 0 it is not read at all. SQLite's substr returns NULL for an empty blob.
SELECT type, content_type, CASE WHEN ?2 = 0 THEN x'' ELSE coalesce(substr(payload, 1, ?2), x'') END FROM job WHERE id = ?1
