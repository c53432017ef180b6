-- Deadlines of jobs, and what a failed attempt raised: the class of the error, its message and its traceback.
--
-- Formats by name (stores/formats.py) may have fields from here on that no version before can read: a job's extras `expires_at`, a queue's
-- settings `expires_in_ms`, and the same in a schedule's job.

CREATE TABLE job_expiry(                    -- when a waiting job ends; a job that has no deadline, or does not wait, has no row
  job INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX job_expiry_at ON job_expiry(at, job);

ALTER TABLE job_error ADD COLUMN class TEXT;     -- of the error that the attempt raised; NULL: its worker told none
ALTER TABLE job_error ADD COLUMN message TEXT;
ALTER TABLE job_error ADD COLUMN traceback TEXT;
ALTER TABLE job_error ADD COLUMN place TEXT;     -- file and function in which it was raised
