-- The first bytes of a payload; with 0 it is not read at all.
SELECT type, content_type, CASE WHEN $2::int = 0 THEN ''::bytea ELSE substr(payload, 1, $2) END FROM job WHERE id = $1
