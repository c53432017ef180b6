UPDATE job_batch SET closed = ?2, pending = ?3, concluded = ?4, dead = ?5, cancelled = ?6, success = ?7, finish = ?8, failure = ?9, ended_at = ?10 WHERE id = ?1
