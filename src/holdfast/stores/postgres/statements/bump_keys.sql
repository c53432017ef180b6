-- A counter that is missing, or can't be counted on from, goes on from the seconds since 1970: no node knows a version as high.
INSERT INTO counter AS c (name, value) VALUES ('keys', extract(epoch FROM clock_timestamp())::bigint)
ON CONFLICT (name) DO UPDATE SET value = CASE WHEN c.value BETWEEN 0 AND 9007199254740990 THEN c.value + 1 ELSE excluded.value END
RETURNING value
