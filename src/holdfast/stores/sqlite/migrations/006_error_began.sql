-- When the attempt that went wrong began, so that a job's whole life can be drawn. NULL: it was kept before this was known.

ALTER TABLE job_error ADD COLUMN leased_at INTEGER;
