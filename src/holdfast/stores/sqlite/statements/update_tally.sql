UPDATE queue SET scheduled = ?, ready = ?, leased = ?, concluded = ?, dead = ?, cancelled = ?, bytes = ?, history_bytes = ? WHERE id = ?
