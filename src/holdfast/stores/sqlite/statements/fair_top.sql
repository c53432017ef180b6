-- The keys of a queue with most jobs waiting: key, how many, weight, whether that was set.
SELECT l.fair, CAST(sum(l.waiting) AS bigint) AS jobs, max(l.weight), max(CASE WHEN w.fair IS NULL THEN 0 ELSE 1 END)
FROM fair_line l LEFT JOIN fair_weight w ON w.queue = l.queue AND w.fair = l.fair
WHERE l.queue = ?1 AND l.waiting > 0 GROUP BY l.fair ORDER BY jobs DESC, l.fair LIMIT ?2
