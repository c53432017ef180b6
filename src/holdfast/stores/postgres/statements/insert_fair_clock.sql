-- Or write it anew.
INSERT INTO fair_clock AS c (queue, priority, now, most, low, lines)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
ON CONFLICT (queue, priority) DO UPDATE SET now = excluded.now, most = excluded.most, low = excluded.low, lines = excluded.lines
