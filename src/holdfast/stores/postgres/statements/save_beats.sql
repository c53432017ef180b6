-- Heartbeats that this node has received; the later one is kept.
INSERT INTO beat(worker, at) SELECT * FROM unnest($1::text[], $2::bigint[]) v(worker, at) ORDER BY v.worker
ON CONFLICT (worker) DO UPDATE SET at = greatest(beat.at, excluded.at)
