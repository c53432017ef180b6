-- Settings in force for a connection of ours that asks for nothing, each with where its value comes from.
SELECT name, setting, source FROM pg_settings WHERE name = ANY($1::text[])
