-- Of the last concluded jobs of a queue: how many they are, when the first of them ended, and how long each was leased, on average.
SELECT count(*), min(ended_at), avg(greatest(0, ended_at::float8 - leased_at::float8)) FROM (
  SELECT ended_at, leased_at FROM ended WHERE queue = $1 AND state = 'concluded' ORDER BY ended_at DESC LIMIT $2
) last
