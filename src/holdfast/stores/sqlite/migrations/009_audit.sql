-- The audit log: one row for each managing verb, written in the transaction of its change. Rows are only added and, if too old or too many, removed,
-- the oldest first. Only a row with a `run` (a bulk action in several transactions) is updated: its outcome and counts.

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
  size INTEGER NOT NULL            -- bytes that count towards the bound
) STRICT;
CREATE UNIQUE INDEX audit_run ON audit(run) WHERE run IS NOT NULL;

CREATE TABLE audit_tally(
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  last INTEGER NOT NULL,           -- the last id used: it is not used again after its row is removed
  kept INTEGER NOT NULL,           -- rows of `audit`
  bytes INTEGER NOT NULL,          -- their sizes
  removed INTEGER NOT NULL         -- rows removed so far
) STRICT;
INSERT INTO audit_tally(only_row, last, kept, bytes, removed) VALUES (1, 0, 0, 0, 0);
