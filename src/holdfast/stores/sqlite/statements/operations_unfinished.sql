SELECT id, state, ended_at, value FROM operation WHERE ended_at IS NULL AND id < ?1 ORDER BY id DESC LIMIT ?2
