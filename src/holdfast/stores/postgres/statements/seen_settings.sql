-- The effective settings of a connection of ours that sets none, each with its source.
SELECT name, setting, source FROM pg_settings WHERE name = ANY($1::text[])
