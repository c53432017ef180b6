-- Or write it anew.
INSERT INTO fair_line AS l (queue, priority, fair, turn, waiting, first, last, weight)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int[])
ON CONFLICT (queue, fair, priority) DO UPDATE SET turn = excluded.turn, waiting = excluded.waiting, first = excluded.first, last = excluded.last, weight = excluded.weight
