-- Recurring jobs. A fire puts its job and moves `next_at` in one transaction, so that there is exactly one job to a fire.

CREATE TABLE schedule(
  name TEXT PRIMARY KEY,
  try_at INTEGER NOT NULL,                  -- when the scheduler looks at it next
  paused INTEGER NOT NULL,
  state BLOB NOT NULL                       -- msgpack: the whole of it, see job/schedule.py
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule(try_at) WHERE paused = 0;
