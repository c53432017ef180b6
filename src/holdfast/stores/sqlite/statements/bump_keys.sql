-- A counter that is missing goes on from the seconds since 1970: no front knows a version as high.
INSERT INTO counter(name, value) VALUES ('keys', unixepoch())
ON CONFLICT (name) DO UPDATE SET value = CASE WHEN value BETWEEN 0 AND 9007199254740990 THEN value + 1 ELSE excluded.value END
RETURNING value
