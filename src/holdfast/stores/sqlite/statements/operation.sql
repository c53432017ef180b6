SELECT id, state, ended_at, value FROM operation WHERE id = ?1
