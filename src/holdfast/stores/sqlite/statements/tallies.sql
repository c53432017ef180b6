-- The tally of one queue (NULL: the sum over all queues).
SELECT coalesce(sum(scheduled) FILTER (WHERE scheduled BETWEEN 0 AND 9007199254740991), 0), coalesce(sum(ready) FILTER (WHERE ready BETWEEN 0 AND 9007199254740991), 0), coalesce(sum(leased) FILTER (WHERE leased BETWEEN 0 AND 9007199254740991), 0), coalesce(sum(concluded) FILTER (WHERE concluded BETWEEN 0 AND 9007199254740991), 0), coalesce(sum(dead) FILTER (WHERE dead BETWEEN 0 AND 9007199254740991), 0),
       coalesce(sum(cancelled) FILTER (WHERE cancelled BETWEEN 0 AND 9007199254740991), 0)
FROM queue WHERE ?1 IS NULL OR id = ?1
