-- Extras of leased jobs of a queue, of up to ?2 of them, and how many have the same.
SELECT j.extras, count(*) FROM (SELECT job FROM leased WHERE queue = ?1 LIMIT ?2) l JOIN job j ON j.id = l.job GROUP BY j.extras
