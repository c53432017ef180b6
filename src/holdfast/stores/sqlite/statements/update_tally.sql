UPDATE queue SET scheduled = ?, ready = ?, leased = ?, concluded = ?, dead = ?, cancelled = ?, bytes = ? WHERE id = ?
