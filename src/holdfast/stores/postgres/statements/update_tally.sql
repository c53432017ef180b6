UPDATE queue SET scheduled = $1, ready = $2, leased = $3, concluded = $4, dead = $5, cancelled = $6, bytes = $7, history_bytes = $8 WHERE id = $9
