-- Narrow tables: a job's row is written once; a small row, one table for each state, is what moves when the state changes.
-- Times are milliseconds since 1970 (UTC), sizes are bytes. The name of a queue is only in `queue`.
--
-- To limit dead rows: rows are inserted and deleted, rarely updated, so pages are filled completely; autovacuum starts after a fixed number of
-- dead rows, not a share of the table, and runs without pauses. Only rows of `queue` are updated by every batch: their pages are nearly
-- empty, so that a new version fits on the same page and no index entry is written (HOT).

CREATE TABLE counter(
  name text PRIMARY KEY,
  value bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO counter(name, value) VALUES ('interests', 0), ('workers', 0);

CREATE SEQUENCE job_id;
CREATE SEQUENCE fence;

-- Take `count` consecutive numbers. The lock is held for this call only; sequences never go back, even if the transaction is rolled back.
CREATE FUNCTION take(numbers regclass, count bigint) RETURNS bigint LANGUAGE plpgsql SET search_path = holdfast AS $$
DECLARE first bigint;
BEGIN
  IF count <= 0 THEN RETURN NULL; END IF;
  PERFORM pg_advisory_lock(1215261796, numbers::oid::int);
  first := nextval(numbers);
  IF count > 1 THEN PERFORM setval(numbers, first + count - 1); END IF;
  PERFORM pg_advisory_unlock(1215261796, numbers::oid::int);
  RETURN first;
END $$;

-- Give back numbers that were taken and not used, unless others have been taken since.
CREATE FUNCTION give_back(numbers regclass, used bigint, up_to bigint) RETURNS void LANGUAGE plpgsql SET search_path = holdfast AS $$
BEGIN
  PERFORM pg_advisory_lock(1215261796, numbers::oid::int);
  IF pg_sequence_last_value(numbers) = up_to THEN PERFORM setval(numbers, greatest(used, 1), used > 0); END IF;
  PERFORM pg_advisory_unlock(1215261796, numbers::oid::int);
END $$;

CREATE TABLE queue(
  id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  name text COLLATE "C" NOT NULL UNIQUE,
  settings text NOT NULL,                   -- JSON: only what was set; for the rest the server's defaults apply
  paused bigint NOT NULL,                   -- 0: no; 1: until it is resumed; else until this time
  created_at bigint NOT NULL,
  scheduled bigint NOT NULL,                -- the tally: exact, written in the transaction that moves the rows
  ready bigint NOT NULL,
  leased bigint NOT NULL,
  concluded bigint NOT NULL,
  dead bigint NOT NULL,
  cancelled bigint NOT NULL,
  bytes bigint NOT NULL,                    -- payload of scheduled, ready and leased jobs
  seen_at bigint NOT NULL,                  -- time of the latest change in this queue: its time never goes back before that
  lows bytea                                -- msgpack: priority → a lower bound of the job ids in `ready`; NULL: unknown
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE job(
  id bigint PRIMARY KEY,
  queue int NOT NULL,
  priority bigint NOT NULL,
  max_attempts int NOT NULL,
  size bigint NOT NULL,
  created_at bigint NOT NULL,
  type text NOT NULL,
  extras text,                              -- JSON array, see job.Extras; NULL for most jobs
  content_type text,                        -- NULL: JSON
  payload bytea NOT NULL                    -- byte for byte as it came
);

CREATE TABLE ready(
  queue int NOT NULL,
  priority bigint NOT NULL,
  job bigint NOT NULL,
  ready_at bigint NOT NULL,
  attempt int NOT NULL,
  failures int NOT NULL,
  crashes int NOT NULL,
  PRIMARY KEY (queue, priority, job)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE held(                          -- ready, but waiting for a slot in its group
  queue int NOT NULL,
  group_key text COLLATE "C" NOT NULL,
  job bigint NOT NULL,
  priority bigint NOT NULL,
  ready_at bigint NOT NULL,
  attempt int NOT NULL,
  failures int NOT NULL,
  crashes int NOT NULL,
  PRIMARY KEY (queue, group_key, job)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE ready_for(                     -- ready jobs that only one registered worker may lease
  worker text COLLATE "C" NOT NULL,
  queue int NOT NULL,
  priority bigint NOT NULL,
  job bigint NOT NULL,
  ready_at bigint NOT NULL,
  attempt int NOT NULL,
  failures int NOT NULL,
  crashes int NOT NULL,
  PRIMARY KEY (worker, queue, priority, job)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ready_for_queue ON ready_for(queue, priority, job);

CREATE TABLE group_place(                   -- jobs of a group that are leased, or ready and not held
  queue int NOT NULL,
  group_key text COLLATE "C" NOT NULL,
  job bigint NOT NULL,
  PRIMARY KEY (queue, group_key, job)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE leased(
  fence bigint PRIMARY KEY,
  job bigint NOT NULL,
  queue int NOT NULL,
  priority bigint NOT NULL,
  until bigint NOT NULL,
  leased_at bigint NOT NULL,
  ready_at bigint NOT NULL,
  attempt int NOT NULL,
  failures int NOT NULL,
  crashes int NOT NULL,
  cancel boolean NOT NULL,
  secret bytea NOT NULL,
  worker text NOT NULL,
  request text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX leased_until ON leased(until);
CREATE INDEX leased_of_job ON leased(job);
CREATE INDEX leased_request ON leased(request) WHERE request IS NOT NULL;
CREATE INDEX leased_worker ON leased(worker) WHERE worker <> '';

CREATE TABLE scheduled(
  job bigint PRIMARY KEY,
  queue int NOT NULL,
  ready_at bigint NOT NULL,
  priority bigint NOT NULL,
  attempt int NOT NULL,
  failures int NOT NULL,
  crashes int NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX scheduled_due ON scheduled(ready_at, job);
CREATE INDEX scheduled_queue ON scheduled(queue, ready_at, job);

CREATE TABLE ended(
  job bigint PRIMARY KEY,
  queue int NOT NULL,
  state text NOT NULL,                      -- concluded, dead or cancelled
  priority bigint NOT NULL,
  ended_at bigint NOT NULL,
  ready_at bigint NOT NULL,
  leased_at bigint,
  attempt int NOT NULL,
  failures int NOT NULL,
  crashes int NOT NULL,
  reason text,
  fence bigint,                             -- the lease that concluded it, to recognize a repeated conclude
  secret bytea,
  worker text,
  result bytea,                             -- JSON
  followers bytea                           -- msgpack: receipts of the follow-up jobs of the conclude
);
CREATE INDEX ended_queue ON ended(queue, state, ended_at, job);
CREATE INDEX ended_dead ON ended(ended_at, job) WHERE state = 'dead';
CREATE INDEX ended_cancelled ON ended(ended_at, job) WHERE state = 'cancelled';

CREATE TABLE job_error(                     -- attempts that failed or crashed, the last few of a job
  job bigint NOT NULL,
  attempt int NOT NULL,
  at bigint NOT NULL,
  worker text NOT NULL,
  kind text NOT NULL,                       -- failed or crashed
  reason text NOT NULL,
  secret bytea NOT NULL,
  leased_at bigint,                         -- when the attempt began
  PRIMARY KEY (job, attempt)
);

CREATE TABLE progress(
  job bigint PRIMARY KEY,
  value bytea NOT NULL                      -- JSON
) WITH (fillfactor = 70);

CREATE TABLE unique_key(
  queue int NOT NULL,
  key text COLLATE "C" NOT NULL,
  job bigint NOT NULL,
  PRIMARY KEY (queue, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE kept_answer(                   -- first answers to calls with an idempotency key
  scope text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  digest bytea NOT NULL,
  receipts bytea NOT NULL,                  -- msgpack
  first_job bigint NOT NULL,
  last_job bigint NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (scope, key)
);
CREATE INDEX kept_answer_at ON kept_answer(at, scope, key);

CREATE TABLE interest(                      -- which events each queue wants; counter `interests` grows with every change
  queue int PRIMARY KEY,
  match text NOT NULL                       -- JSON: "*" or an object of patterns
);

CREATE TABLE worker(                        -- registered workers; counter `workers` grows with every change
  id text COLLATE "C" PRIMARY KEY,
  name text NOT NULL,
  queues text NOT NULL,                     -- JSON array, in the worker's order
  state text NOT NULL,                      -- running or quiet
  registered_at bigint NOT NULL
);

CREATE UNLOGGED TABLE beat(                 -- the last heartbeat of each worker, at any node; empty after a failover, which counts as a heartbeat
  worker text COLLATE "C" PRIMARY KEY,
  at bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE schedule(
  name text COLLATE "C" PRIMARY KEY,
  try_at bigint NOT NULL,                   -- when the scheduler checks it next
  paused boolean NOT NULL,
  queue text,                               -- the queue of its jobs; NULL: it publishes events
  state bytea NOT NULL                      -- msgpack: the whole schedule, see job/schedule.py
);
CREATE INDEX schedule_due ON schedule(try_at) WHERE NOT paused;

-- The same columns for a job in every state; `stores/rows.py` reads them. A column after them is the rest of the table's key.
CREATE VIEW ready_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, NULL::text AS reason
  FROM ready s JOIN job j ON j.id = s.job;
CREATE VIEW held_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, true AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, NULL::text AS reason, s.group_key
  FROM held s JOIN job j ON j.id = s.job;
CREATE VIEW ready_for_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, NULL::text AS reason, s.worker AS line
  FROM ready_for s JOIN job j ON j.id = s.job;
CREATE VIEW leased_job AS
  SELECT j.id, s.queue, 'leased' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, s.fence, s.secret, s.worker, s.leased_at,
         s.until, s.request, s.cancel, NULL::bigint AS ended_at, NULL::text AS reason
  FROM leased s JOIN job j ON j.id = s.job;
CREATE VIEW scheduled_job AS
  SELECT j.id, s.queue, 'scheduled' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, NULL::text AS reason
  FROM scheduled s JOIN job j ON j.id = s.job;
CREATE VIEW ended_job AS
  SELECT j.id, s.queue, s.state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, s.fence, s.secret, s.worker, s.leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, s.ended_at, s.reason
  FROM ended s JOIN job j ON j.id = s.job;
