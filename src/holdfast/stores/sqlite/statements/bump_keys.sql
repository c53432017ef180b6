-- A missing counter restarts from the seconds since 1970, which is higher than any version that a front knows.
INSERT INTO counter(name, value) VALUES ('keys', unixepoch())
ON CONFLICT (name) DO UPDATE SET value = CASE WHEN value BETWEEN 0 AND 9007199254740990 THEN value + 1 ELSE excluded.value END
RETURNING value
