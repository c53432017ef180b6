UPDATE schedule SET try_at = ? WHERE name = ?
