UPDATE scheduled SET ready_at = ?1 WHERE ready_at > ?1 AND attempt > 0
