-- How many jobs and bytes wait in the inbox, and for how long the first of them has.
SELECT c.rows, c.bytes, greatest(0, (extract(epoch FROM clock_timestamp()) * 1000)::bigint - c.oldest) FROM count_inbox() c
