-- A queue's time never goes behind what it has seen: more than an hour ahead, with nobody serving, was a clock that had been wrong.
UPDATE queue SET seen_at = $1::bigint WHERE seen_at > $1::bigint + 3600000
