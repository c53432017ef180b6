-- The same of one type.
SELECT job FROM ready INDEXED BY ready_fair_type
WHERE queue = ?1 AND type = ?6 AND priority = ?2 AND fair = ?3 AND job >= ?4 AND fair IS NOT NULL AND type IS NOT NULL ORDER BY job LIMIT ?5
