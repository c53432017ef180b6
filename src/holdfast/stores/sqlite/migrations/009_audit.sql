-- The audit log: one row for each managing verb, written in the transaction of what it tells of. Rows are only added and, when they are old or too
-- many, removed from the oldest on; of one that has a `run` (something done in several transactions) the outcome and the counts go on.

CREATE TABLE audit(
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  action TEXT NOT NULL,
  queue TEXT NOT NULL,
  target TEXT NOT NULL,
  note TEXT NOT NULL,
  outcome TEXT NOT NULL,
  done INTEGER NOT NULL,
  refused INTEGER NOT NULL,
  who TEXT NOT NULL,
  address TEXT NOT NULL,
  door TEXT NOT NULL,
  run TEXT,
  size INTEGER NOT NULL            -- bytes, as they are counted against the bound
) STRICT;
CREATE UNIQUE INDEX audit_run ON audit(run) WHERE run IS NOT NULL;

CREATE TABLE audit_tally(
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  last INTEGER NOT NULL,           -- the last number given: it is not given again when its row is gone
  kept INTEGER NOT NULL,           -- rows of `audit`
  bytes INTEGER NOT NULL,          -- their sizes
  removed INTEGER NOT NULL         -- rows that there were once
) STRICT;
INSERT INTO audit_tally(only_row, last, kept, bytes, removed) VALUES (1, 0, 0, 0, 0);
