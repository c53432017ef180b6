UPDATE kept_answer SET at = ?1 WHERE (scope, key) IN (SELECT scope, key FROM kept_answer WHERE at > ?2 LIMIT ?3)
