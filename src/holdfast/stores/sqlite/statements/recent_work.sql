-- Of the last concluded jobs of a queue: how many they are, when the first of them ended, and how long each was leased, on average.
SELECT count(*), min(ended_at), avg(max(0, ended_at - leased_at)) FROM (
  SELECT ended_at, leased_at FROM ended WHERE queue = ?1 AND state = 'concluded' ORDER BY ended_at DESC LIMIT ?2
)
