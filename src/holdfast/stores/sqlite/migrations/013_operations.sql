-- Operations: bulk work by the server. One row each, with how far it is: written in the transaction of its changes.

CREATE TABLE operation(
  id INTEGER PRIMARY KEY,                   -- one of the numbers of jobs: the jobs that it is about have smaller ones
  state TEXT NOT NULL,                      -- running, paused, done or cancelled
  ended_at INTEGER,                         -- NULL: it has not ended
  value TEXT NOT NULL                       -- JSON: the fields of an operation without a column of their own
) STRICT;
CREATE INDEX operation_unfinished ON operation(id) WHERE ended_at IS NULL;
