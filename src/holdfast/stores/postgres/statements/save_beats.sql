-- Beats that this node has heard; the later one counts.
INSERT INTO beat(worker, at) SELECT * FROM unnest($1::text[], $2::bigint[]) v(worker, at) ORDER BY v.worker
ON CONFLICT (worker) DO UPDATE SET at = greatest(beat.at, excluded.at)
