-- The same of keys from ?2 up to ?3, in their order, and of those that have a weight only.
SELECT u.fair, CAST(sum(u.waiting) AS bigint), max(u.weight), max(u.own) FROM (
  SELECT fair, waiting, weight, 0 AS own FROM fair_line WHERE queue = ?1 AND fair >= ?2 AND (?3 = '' OR fair <= ?3)
  UNION ALL SELECT fair, 0, weight, 1 FROM fair_weight WHERE queue = ?1 AND fair >= ?2 AND (?3 = '' OR fair <= ?3)
) u GROUP BY u.fair ORDER BY u.fair LIMIT ?4
