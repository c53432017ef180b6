-- The tallies of one queue (NULL: of all together).
SELECT coalesce(sum(scheduled), 0), coalesce(sum(ready), 0), coalesce(sum(leased), 0), coalesce(sum(concluded), 0), coalesce(sum(dead), 0),
       coalesce(sum(cancelled), 0)
FROM queue WHERE ?1 IS NULL OR id = ?1
