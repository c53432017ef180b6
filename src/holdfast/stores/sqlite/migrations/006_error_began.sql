-- When the failed attempt began, for the timeline of a job. NULL: stored before this column existed.

ALTER TABLE job_error ADD COLUMN leased_at INTEGER;
