-- The same, as far as nobody else has them; whether all are locked now.
SELECT bool_and(pg_try_advisory_xact_lock(1215261799, hashtext(name))) FROM unnest($1::text[]) name
