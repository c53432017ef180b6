-- Budgets: how many jobs may start in a time, or run at once, whatever their queues.
--
-- An account is a budget with a key (`budget/key`). Its row is there while unfinished jobs name it, something is owed or it is blocked. The counts of
-- jobs are those of the tables of their states; `holdfast check` counts again.
--
-- Formats by name (stores/formats.py) may have fields from here on that no version before can read: a job's extras and a queue's
-- settings, `budgets`; those that these have added, `queue_budgets`.

CREATE TABLE budget(
  name TEXT PRIMARY KEY,
  units INTEGER NOT NULL,
  per_ms INTEGER,                           -- NULL: units are held while a job is leased
  burst INTEGER NOT NULL,
  blocked_until INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE budget_account(
  account TEXT PRIMARY KEY,
  budget TEXT NOT NULL,
  jobs INTEGER NOT NULL,                    -- unfinished jobs that name it
  waiting INTEGER NOT NULL,                 -- of these in `waiting`
  next_jobs INTEGER NOT NULL,               -- of these ready to be leased, and what they cost
  next_units INTEGER NOT NULL,
  running INTEGER NOT NULL,                 -- what the leased ones cost
  owed INTEGER NOT NULL,                    -- units × per_ms that are not refilled, at owed_at, by a budget of this per_ms
  owed_at INTEGER NOT NULL,
  per_ms INTEGER NOT NULL,
  blocked_until INTEGER NOT NULL,
  first_job INTEGER NOT NULL,               -- the head of its line, 0 if it has to be read, and what that costs
  first_cost INTEGER NOT NULL,
  by_queue TEXT NOT NULL,                   -- JSON: of those that are next, by queue, see job/budget.py
  wake_at INTEGER                           -- when time has something to do here
) STRICT, WITHOUT ROWID;
CREATE INDEX budget_account_wake ON budget_account(wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE waiting(                       -- ready, but waiting for an account of a budget
  account TEXT NOT NULL,
  job INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  PRIMARY KEY (account, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_line ON waiting(account, queue, job);
CREATE INDEX waiting_queue ON waiting(queue, job);
CREATE INDEX waiting_by_id ON waiting(job);

ALTER TABLE leased ADD COLUMN extended INTEGER NOT NULL DEFAULT 0;  -- its holder has extended the lease

-- `reason` is the account that the job waits for.
CREATE VIEW waiting_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 1 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, s.account AS reason, 0 AS result_size
  FROM waiting s CROSS JOIN job j ON j.id = s.job;
