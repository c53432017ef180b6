INSERT INTO progress(job, value) SELECT * FROM unnest($1::bigint[], $2::bytea[])
ON CONFLICT (job) DO UPDATE SET value = excluded.value
