UPDATE ready SET fair = ?4 WHERE queue = ?1 AND priority = ?2 AND job = ?3
