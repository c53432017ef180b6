-- A queue's time never goes behind what it has seen: more than an hour ahead, with nobody serving, was a clock that had been wrong.
WITH changed AS (UPDATE queue SET seen_at = $1::bigint WHERE seen_at > $1::bigint + 3600000 RETURNING 1) SELECT count(*) FROM changed
