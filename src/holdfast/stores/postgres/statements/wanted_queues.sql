-- The queues that a batch names; see lock_queues.sql.
SELECT id FROM queue WHERE name = ANY($1::text[]) UNION SELECT unnest($2::int[])
UNION SELECT queue FROM leased WHERE fence = ANY($3::bigint[]) UNION SELECT queue FROM job WHERE id = ANY($4::bigint[])
