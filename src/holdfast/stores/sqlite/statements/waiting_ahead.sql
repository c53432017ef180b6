SELECT count(*) FROM (SELECT 1 FROM waiting WHERE account = ?1 AND job < ?2 LIMIT ?3) s
