DELETE FROM operation WHERE ended_at < ?1
OR id IN (SELECT id FROM operation WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT -1 OFFSET ?2)
