-- The audit log: one row for each managing verb, written in the transaction of what it tells of. Rows are only added and, when they are old or too
-- many, removed from the oldest on; of one that has a `run` (something done in several transactions) the outcome and the counts go on.
--
-- The row of `audit_tally` is locked by whoever writes, as the last thing before the commit: numbers are given in the order of the commits, so
-- that whoever follows the log by number misses none.

CREATE TABLE audit(
  id bigint PRIMARY KEY,
  at bigint NOT NULL,
  action text COLLATE "C" NOT NULL,
  queue text COLLATE "C" NOT NULL,
  target text COLLATE "C" NOT NULL,
  note text COLLATE "C" NOT NULL,
  outcome text COLLATE "C" NOT NULL,
  done bigint NOT NULL,
  refused bigint NOT NULL,
  who text COLLATE "C" NOT NULL,
  address text COLLATE "C" NOT NULL,
  door text COLLATE "C" NOT NULL,
  run text COLLATE "C",
  size bigint NOT NULL             -- bytes, as they are counted against the bound
);
CREATE UNIQUE INDEX audit_run ON audit(run) WHERE run IS NOT NULL;

CREATE TABLE audit_tally(
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  last bigint NOT NULL,            -- the last number given
  kept bigint NOT NULL,            -- rows of `audit`
  bytes bigint NOT NULL,           -- their sizes
  removed bigint NOT NULL          -- rows that there were once
) WITH (fillfactor = 10);
INSERT INTO audit_tally(last, kept, bytes, removed) VALUES (0, 0, 0, 0);
