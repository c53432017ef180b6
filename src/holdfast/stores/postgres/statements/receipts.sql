SELECT k.scope, k.receipts FROM queue q JOIN kept_answer k ON k.scope = q.name AND k.key = $1::text WHERE $2::text IS NULL OR q.name = $2::text
UNION ALL
SELECT scope, receipts FROM kept_answer WHERE scope = '' AND key = $1::text AND $2::text IS NULL
