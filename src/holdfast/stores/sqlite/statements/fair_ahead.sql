-- How many ready jobs of a fair key come before one, counted up to ?5.
SELECT count(*) FROM (SELECT 1 FROM ready WHERE queue = ?1 AND priority = ?2 AND fair = ?3 AND job < ?4 AND fair IS NOT NULL LIMIT ?5) a
