-- The first jobs of one line: ?1 queue, ?2 priority, ?3 key, ?4 none has a lower id, ?5 how many.
SELECT job FROM ready INDEXED BY ready_fair WHERE queue = ?1 AND priority = ?2 AND fair = ?3 AND job >= ?4 AND fair IS NOT NULL ORDER BY job LIMIT ?5
