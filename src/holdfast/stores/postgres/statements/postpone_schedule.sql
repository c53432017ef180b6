UPDATE schedule SET try_at = $2 WHERE name = $1
