-- A queue's time never goes back. If it is more than an hour ahead after an outage, a clock was wrong.
WITH changed AS (UPDATE queue SET seen_at = $1::bigint WHERE seen_at > $1::bigint + 3600000 RETURNING 1) SELECT count(*) FROM changed
