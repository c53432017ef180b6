-- Narrow tables: a job's row is written once; a small row, one table for each state, is what moves when the state changes.
-- Times are milliseconds since 1970 (UTC), sizes are bytes. The name of a queue is only in `queue`.

CREATE TABLE counter(                       -- the last id used; never goes back, also across restarts
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter(name, value) VALUES ('job', 0), ('fence', 0);

CREATE TABLE queue(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  settings TEXT NOT NULL,                   -- JSON: only what was set; for the rest the server's defaults apply
  paused INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  scheduled INTEGER NOT NULL,               -- the tally: exact, written in the transaction that moves the rows
  ready INTEGER NOT NULL,
  leased INTEGER NOT NULL,
  concluded INTEGER NOT NULL,
  dead INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  bytes INTEGER NOT NULL                    -- payload of scheduled, ready and leased jobs
) STRICT;

CREATE TABLE job(
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  size INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  type TEXT NOT NULL,
  extras TEXT,                              -- JSON array, see job.Extras; NULL for most jobs
  content_type TEXT,                        -- NULL: JSON
  payload BLOB NOT NULL                     -- byte for byte as it came
) STRICT;

CREATE TABLE ready(
  queue INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  job INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  PRIMARY KEY (queue, priority, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE held(                          -- ready, but waiting for a slot in its group
  queue INTEGER NOT NULL,
  group_key TEXT NOT NULL,
  job INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  PRIMARY KEY (queue, group_key, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE group_place(                   -- jobs of a group that are leased, or ready and not held
  queue INTEGER NOT NULL,
  group_key TEXT NOT NULL,
  job INTEGER NOT NULL,
  PRIMARY KEY (queue, group_key, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE leased(
  fence INTEGER PRIMARY KEY,
  job INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  until INTEGER NOT NULL,
  leased_at INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  cancel INTEGER NOT NULL,
  secret BLOB NOT NULL,
  worker TEXT NOT NULL,
  request TEXT
) STRICT;
CREATE INDEX leased_until ON leased(until);
CREATE INDEX leased_of_job ON leased(job);
CREATE INDEX leased_request ON leased(request) WHERE request IS NOT NULL;

CREATE TABLE scheduled(
  job INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  crashes INTEGER NOT NULL
) STRICT;
CREATE INDEX scheduled_due ON scheduled(ready_at);
CREATE INDEX scheduled_queue ON scheduled(queue, ready_at);

CREATE TABLE ended(
  job INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  state TEXT NOT NULL,                      -- concluded, dead or cancelled
  priority INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  leased_at INTEGER,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  reason TEXT,
  fence INTEGER,                            -- the lease that concluded it, to recognize a repeated conclude
  secret BLOB,
  worker TEXT,
  result BLOB,                              -- JSON
  followers BLOB                            -- msgpack: receipts of the follow-up jobs of the conclude
) STRICT;
CREATE INDEX ended_queue ON ended(queue, state, ended_at);
CREATE INDEX ended_dead ON ended(ended_at) WHERE state = 'dead';
CREATE INDEX ended_cancelled ON ended(ended_at) WHERE state = 'cancelled';

CREATE TABLE job_error(                     -- attempts that failed or crashed, the last few of a job
  job INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  at INTEGER NOT NULL,
  worker TEXT NOT NULL,
  kind TEXT NOT NULL,                       -- failed or crashed
  reason TEXT NOT NULL,
  secret BLOB NOT NULL,
  PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE progress(
  job INTEGER PRIMARY KEY,
  value BLOB NOT NULL                       -- JSON
) STRICT;

CREATE TABLE unique_key(
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  job INTEGER NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept_answer(                   -- first answers to calls with an idempotency key
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  digest BLOB NOT NULL,
  receipts BLOB NOT NULL,                   -- msgpack
  first_job INTEGER NOT NULL,
  last_job INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_answer_at ON kept_answer(at);

-- The same columns for a job in every state; `stores/rows.py` reads them. A column after them is the rest of the table's key.
CREATE VIEW ready_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, NULL AS reason
  FROM ready s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW held_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 1 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, NULL AS reason, s.group_key
  FROM held s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW leased_job AS
  SELECT j.id, s.queue, 'leased' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, s.fence, s.secret, s.worker, s.leased_at, s.until,
         s.request, s.cancel, NULL AS ended_at, NULL AS reason
  FROM leased s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW scheduled_job AS
  SELECT j.id, s.queue, 'scheduled' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, NULL AS reason
  FROM scheduled s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW ended_job AS
  SELECT j.id, s.queue, s.state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, s.fence, s.secret, s.worker, s.leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, s.ended_at, s.reason
  FROM ended s CROSS JOIN job j ON j.id = s.job;
