-- Leases by type: of a queue where calls name types, each ready job has its type beside its place in the order, in an index of its own.

ALTER TABLE queue ADD COLUMN paused_types TEXT;  -- JSON: the types that are not given out; NULL for most queues
ALTER TABLE queue ADD COLUMN typed TEXT;         -- JSON, see job/by_type.py: whether `ready.type` is kept; NULL for most queues
ALTER TABLE ready ADD COLUMN type TEXT;          -- that of the job, of a queue that is `typed`; else NULL
CREATE INDEX ready_type ON ready(queue, type, priority, job) WHERE type IS NOT NULL;
ALTER TABLE worker ADD COLUMN types TEXT;        -- JSON: the types that it takes; NULL: all
ALTER TABLE worker ADD COLUMN host TEXT;         -- of its process, as it told: the machine, the process id, the program's version
ALTER TABLE worker ADD COLUMN pid INTEGER;
ALTER TABLE worker ADD COLUMN version TEXT;
