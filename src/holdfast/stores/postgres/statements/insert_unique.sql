INSERT INTO unique_key(queue, key, job)
SELECT * FROM unnest($1::int[], $2::text[], $3::bigint[])
