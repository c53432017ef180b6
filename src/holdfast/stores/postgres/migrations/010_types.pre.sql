-- Leases by type: of a queue where calls name types, each ready job has its type beside its place in the order, in an index of its own.
--
-- A node of the release before enqueues without the type, so a queue becomes `typed` only when no such node may serve any more. `holdfast.enqueue` writes
-- the type from the step that makes it anew on (012).
-- locks: queue, ready, worker

ALTER TABLE queue ADD COLUMN paused_types text;  -- JSON: the types that are not given out; NULL for most queues
ALTER TABLE queue ADD COLUMN typed text;         -- JSON, see job/by_type.py: whether `ready.type` is kept; NULL for most queues
ALTER TABLE ready ADD COLUMN type text COLLATE "C";  -- that of the job, of a queue that is `typed`; else NULL
CREATE INDEX ready_type ON ready(queue, type, priority, job) WHERE type IS NOT NULL;
ALTER TABLE worker ADD COLUMN types text;        -- JSON: the types that it takes; NULL: all
ALTER TABLE worker ADD COLUMN host text;         -- of its process, as it told: the machine, the process id, the program's version
ALTER TABLE worker ADD COLUMN pid bigint;
ALTER TABLE worker ADD COLUMN version text;
