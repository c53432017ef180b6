-- Batches of jobs, which count their members and put further jobs when these have ended.
--
-- Formats by name (stores/formats.py) may have a job's extras `batch` and `closes` from here on, once the upgrade is finished. Rows of `job_batch` are
-- locked after the queues, in the order of their ids.

CREATE TABLE job_batch(
  id bigint PRIMARY KEY,                    -- of the sequence of jobs
  name text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  queues text COLLATE "C" NOT NULL,         -- JSON: who sees all of these sees the batch
  level bigint NOT NULL,                    -- how deep it is nested
  closed boolean NOT NULL,
  pending bigint NOT NULL,                  -- unfinished members, and those promised: closing jobs of others that are not put yet
  concluded bigint NOT NULL,
  dead bigint NOT NULL,
  cancelled bigint NOT NULL,                -- and members that were removed before they were concluded
  success bigint,                           -- closing jobs. NULL: none; 0: it waits; -1: owed; -2: never; else the job that was put
  finish bigint,
  failure bigint,
  ended_at bigint                           -- when the last member ended of a closed batch
) WITH (fillfactor = 50);
CREATE INDEX job_batch_living ON job_batch(id) WHERE ended_at IS NULL OR dead > 0;
CREATE INDEX job_batch_over ON job_batch(ended_at) WHERE ended_at IS NOT NULL AND dead <= 0;

CREATE TABLE job_batch_closing(             -- closing jobs that are not put yet
  job_batch bigint NOT NULL,
  due text COLLATE "C" NOT NULL,            -- on_success, on_finish or on_failure
  queue text COLLATE "C" NOT NULL,
  member_of bigint,                         -- the batch that it will be a member of
  owed boolean NOT NULL,
  refusal text COLLATE "C" NOT NULL,        -- why it could not be put
  job text COLLATE "C" NOT NULL,            -- JSON
  PRIMARY KEY (job_batch, due)
);
CREATE INDEX job_batch_closing_owed ON job_batch_closing(job_batch) WHERE owed;

CREATE TABLE job_batch_member(
  job_batch bigint NOT NULL,
  job bigint NOT NULL,
  PRIMARY KEY (job_batch, job)
);
