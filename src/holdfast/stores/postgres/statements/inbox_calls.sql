-- How often applications put something into the inbox, whether or not they have committed; NULL: never.
SELECT pg_sequence_last_value('inbox_calls'::regclass)
