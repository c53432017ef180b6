-- The tally of one queue (NULL: the sum over all queues).
SELECT coalesce(sum(scheduled) FILTER (WHERE scheduled BETWEEN 0 AND 9007199254740991), 0)::bigint, coalesce(sum(ready) FILTER (WHERE ready BETWEEN 0 AND 9007199254740991), 0)::bigint, coalesce(sum(leased) FILTER (WHERE leased BETWEEN 0 AND 9007199254740991), 0)::bigint, coalesce(sum(concluded) FILTER (WHERE concluded BETWEEN 0 AND 9007199254740991), 0)::bigint,
       coalesce(sum(dead) FILTER (WHERE dead BETWEEN 0 AND 9007199254740991), 0)::bigint, coalesce(sum(cancelled) FILTER (WHERE cancelled BETWEEN 0 AND 9007199254740991), 0)::bigint
FROM queue WHERE $1::int IS NULL OR id = $1
