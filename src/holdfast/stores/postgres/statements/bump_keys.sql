-- A missing or invalid counter restarts from the seconds since 1970, which is higher than any version that a node knows.
INSERT INTO counter AS c (name, value) VALUES ('keys', extract(epoch FROM clock_timestamp())::bigint)
ON CONFLICT (name) DO UPDATE SET value = CASE WHEN c.value BETWEEN 0 AND 9007199254740990 THEN c.value + 1 ELSE excluded.value END
RETURNING value
