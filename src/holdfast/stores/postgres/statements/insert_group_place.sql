INSERT INTO group_place(queue, group_key, job)
SELECT * FROM unnest($1::int[], $2::text[], $3::bigint[])
