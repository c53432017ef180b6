-- What most transactions do to a batch: members came, or were concluded. Nothing of it is in an index.
UPDATE job_batch SET pending = ?3, concluded = ?4, cancelled = ?6
WHERE id = ?1 AND closed = ?2 AND dead = ?5 AND success IS ?7 AND finish IS ?8 AND failure IS ?9 AND ended_at IS ?10
