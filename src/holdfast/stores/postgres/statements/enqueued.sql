-- How often applications called `holdfast.enqueue`, whether or not they have committed; NULL: never.
SELECT pg_sequence_last_value('enqueued'::regclass)
