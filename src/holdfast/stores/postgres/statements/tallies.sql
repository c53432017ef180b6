-- The tallies of one queue (NULL: of all together).
SELECT coalesce(sum(scheduled), 0)::bigint, coalesce(sum(ready), 0)::bigint, coalesce(sum(leased), 0)::bigint, coalesce(sum(concluded), 0)::bigint,
       coalesce(sum(dead), 0)::bigint, coalesce(sum(cancelled), 0)::bigint
FROM queue WHERE $1::int IS NULL OR id = $1
