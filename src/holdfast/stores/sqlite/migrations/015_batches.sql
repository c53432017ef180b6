-- Batches of jobs, which count their members and put further jobs when these have ended.
--
-- Formats by name (stores/formats.py) may have a job's extras `batch` and `closes` from here on.

CREATE TABLE job_batch(
  id INTEGER PRIMARY KEY,                   -- of the counter of jobs
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  queues TEXT NOT NULL,                     -- JSON: who sees all of these sees the batch
  level INTEGER NOT NULL,                   -- how deep it is nested
  closed INTEGER NOT NULL,
  pending INTEGER NOT NULL,                 -- unfinished members, and those promised: closing jobs of others that are not put yet
  concluded INTEGER NOT NULL,
  dead INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,               -- and members that were removed before they were concluded
  success INTEGER,                          -- closing jobs. NULL: none; 0: it waits; -1: owed; -2: never; else the job that was put
  finish INTEGER,
  failure INTEGER,
  ended_at INTEGER                          -- when the last member ended of a closed batch
) STRICT;
CREATE INDEX job_batch_living ON job_batch(id) WHERE ended_at IS NULL OR dead > 0;
CREATE INDEX job_batch_over ON job_batch(ended_at) WHERE ended_at IS NOT NULL AND dead <= 0;

CREATE TABLE job_batch_closing(             -- closing jobs that are not put yet
  job_batch INTEGER NOT NULL,
  due TEXT NOT NULL,                        -- on_success, on_finish or on_failure
  queue TEXT NOT NULL,
  member_of INTEGER,                        -- the batch that it will be a member of
  owed INTEGER NOT NULL,
  refusal TEXT NOT NULL,                    -- why it could not be put
  job TEXT NOT NULL,                        -- JSON
  PRIMARY KEY (job_batch, due)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_batch_closing_owed ON job_batch_closing(job_batch) WHERE owed = 1;

CREATE TABLE job_batch_member(
  job_batch INTEGER NOT NULL,
  job INTEGER NOT NULL,
  PRIMARY KEY (job_batch, job)
) STRICT, WITHOUT ROWID;
