-- The audit log: one row for each managing verb, written in the transaction of its change. Rows are only added and, if too old or too many, removed,
-- the oldest first. Only a row with a `run` (a bulk action in several transactions) is updated: its outcome and counts.
--
-- Every writer locks the row of `audit_tally`, as its last step before the commit: ids follow the order of the commits, so that a reader that follows
-- the log by id misses none.

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
  size bigint NOT NULL             -- bytes that count towards the bound
);
CREATE UNIQUE INDEX audit_run ON audit(run) WHERE run IS NOT NULL;

CREATE TABLE audit_tally(
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  last bigint NOT NULL,            -- the last id used
  kept bigint NOT NULL,            -- rows of `audit`
  bytes bigint NOT NULL,           -- their sizes
  removed bigint NOT NULL          -- rows removed so far
) WITH (fillfactor = 10);
INSERT INTO audit_tally(last, kept, bytes, removed) VALUES (0, 0, 0, 0);
