-- Operations: bulk work by the server. One row each, with how far it is: written in the transaction of its changes.
--
-- Nodes of the release before never read it, and take no part: they see jobs that were changed as by any other call.

CREATE TABLE operation(
  id bigint PRIMARY KEY,                    -- one of the numbers of jobs: the jobs that it is about have smaller ones
  state text NOT NULL,                      -- running, paused, done or cancelled
  ended_at bigint,                          -- NULL: it has not ended
  value text NOT NULL                       -- JSON: the fields of an operation without a column of their own
) WITH (fillfactor = 50);
CREATE INDEX operation_unfinished ON operation(id) WHERE ended_at IS NULL;
