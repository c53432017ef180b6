-- Registered workers. Their heartbeats are not stored: a heartbeat must cost no write.

CREATE TABLE worker(
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  queues TEXT NOT NULL,                     -- JSON array, in the worker's order
  state TEXT NOT NULL,                      -- running or quiet
  registered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
