-- Fair shares: of a queue that is `fair`, each ready job has its fair key beside its place in the order, and each key its turn.
--
-- A node of the release before enqueues without the key, so a queue becomes fair only when no such node may serve any more. `holdfast.enqueue` (012)
-- refuses such a queue: only a node decides whose turn it is. The row of the queue is the lock of its lines and clocks.
--
-- Formats by name (stores/formats.py) may have fields from here on that no version before can read: a job's extras `fair_key` and `fair_cost`, a
-- queue's settings `fair`, and the same in a schedule's job.
-- locks: queue, ready

ALTER TABLE queue ADD COLUMN sharing text;  -- JSON, see job/fair.py: how far its ready jobs are sorted by their keys; NULL for most queues
ALTER TABLE ready ADD COLUMN fair text COLLATE "C";  -- the fair key of the job, of a queue that has `sharing`; '' for none
CREATE INDEX ready_fair ON ready(queue, priority, fair, job) WHERE fair IS NOT NULL;
CREATE INDEX ready_fair_type ON ready(queue, type, priority, fair, job) WHERE fair IS NOT NULL AND type IS NOT NULL;

CREATE TABLE fair_line(                     -- of one key at one priority; forgotten once it would equal a new one
  queue int NOT NULL,
  fair text COLLATE "C" NOT NULL,
  priority bigint NOT NULL,
  turn bigint NOT NULL,                     -- the virtual time at which its next job starts
  waiting bigint NOT NULL,                  -- jobs of it in `ready`
  first bigint NOT NULL,                    -- none of these has a lower id
  last bigint NOT NULL,                     -- one more than the id of the job that was started last, else of the first that came: of equal turns the lowest is next
  weight int NOT NULL,
  PRIMARY KEY (queue, fair, priority)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX fair_line_next ON fair_line(queue, priority, turn, last, fair) WHERE waiting > 0;
CREATE INDEX fair_line_idle ON fair_line(queue, priority, turn) WHERE waiting <= 0;

CREATE TABLE fair_clock(                    -- the virtual time of one priority of a queue
  queue int NOT NULL,
  priority bigint NOT NULL,
  now bigint NOT NULL,
  most bigint NOT NULL,                     -- the latest turn of any line
  low bigint NOT NULL,                      -- no line with jobs has an earlier turn
  lines bigint NOT NULL,                    -- how many of these there are
  PRIMARY KEY (queue, priority)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE fair_weight(                   -- of keys that have another weight than 1
  queue int NOT NULL,
  fair text COLLATE "C" NOT NULL,
  weight int NOT NULL,
  PRIMARY KEY (queue, fair)
);
