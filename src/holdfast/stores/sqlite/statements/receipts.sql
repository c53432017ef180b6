SELECT k.scope, k.receipts FROM queue q CROSS JOIN kept_answer k ON k.scope = q.name AND k.key = ?1 WHERE ?2 IS NULL OR q.name = ?2
UNION ALL
SELECT scope, receipts FROM kept_answer WHERE scope = '' AND key = ?1 AND ?2 IS NULL
