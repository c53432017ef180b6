-- Budgets: how many jobs may start in a time, or run at once, whatever their queues.
--
-- An account is a budget with a key (`budget/key`). Its row is there while unfinished jobs name it, something is owed or it is blocked. The counts of
-- jobs are those of the tables of their states; `holdfast check` counts again. The row of its budget is the lock of an account and of its line.
--
-- Formats by name (stores/formats.py) may have fields from here on that no version before can read: a job's extras and a queue's
-- settings, `budgets`; those that these have added, `queue_budgets`.
-- locks: leased

CREATE TABLE budget(
  name text COLLATE "C" PRIMARY KEY,
  units bigint NOT NULL,
  per_ms bigint,                            -- NULL: units are held while a job is leased
  burst bigint NOT NULL,
  blocked_until bigint NOT NULL,
  created_at bigint NOT NULL,
  changed_at bigint NOT NULL
);

CREATE TABLE budget_account(
  account text COLLATE "C" PRIMARY KEY,
  budget text COLLATE "C" NOT NULL,
  jobs bigint NOT NULL,                     -- unfinished jobs that name it
  waiting bigint NOT NULL,                  -- of these in `waiting`
  next_jobs bigint NOT NULL,                -- of these ready to be leased, and what they cost
  next_units bigint NOT NULL,
  running bigint NOT NULL,                  -- what the leased ones cost
  owed bigint NOT NULL,                     -- units × per_ms that are not refilled, at owed_at, by a budget of this per_ms
  owed_at bigint NOT NULL,
  per_ms bigint NOT NULL,
  blocked_until bigint NOT NULL,
  first_job bigint NOT NULL,                -- the head of its line, 0 if it has to be read, and what that costs
  first_cost bigint NOT NULL,
  by_queue text NOT NULL,                   -- JSON: of those that are next, by queue, see job/budget.py
  wake_at bigint                            -- when time has something to do here
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX budget_account_wake ON budget_account(wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE waiting(                       -- ready, but waiting for an account of a budget
  account text COLLATE "C" NOT NULL,
  job bigint NOT NULL,
  queue int NOT NULL,
  priority bigint NOT NULL,
  ready_at bigint NOT NULL,
  attempt int NOT NULL,
  failures int NOT NULL,
  crashes int NOT NULL,
  PRIMARY KEY (account, job)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX waiting_line ON waiting(account, queue, job);
CREATE INDEX waiting_queue ON waiting(queue, job);
CREATE INDEX waiting_by_id ON waiting(job);

ALTER TABLE leased ADD COLUMN extended boolean NOT NULL DEFAULT false;  -- its holder has extended the lease

-- `reason` is the account that the job waits for.
CREATE VIEW waiting_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, true AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, s.account AS reason, 0 AS result_size
  FROM waiting s JOIN job j ON j.id = s.job;
