-- Recurring jobs. A fire enqueues its job and advances `next_at` in one transaction, so each fire has exactly one job.

CREATE TABLE schedule(
  name TEXT PRIMARY KEY,
  try_at INTEGER NOT NULL,                  -- when the scheduler checks it next
  paused INTEGER NOT NULL,
  state BLOB NOT NULL                       -- msgpack: the whole schedule, see job/schedule.py
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule(try_at) WHERE paused = 0;
