-- Fair shares: of a queue that is `fair`, each ready job has its fair key beside its place in the order, and each key its turn.
--
-- Formats by name (stores/formats.py) may have fields from here on that no version before can read: a job's extras `fair_key` and `fair_cost`, a
-- queue's settings `fair`, and the same in a schedule's job.

ALTER TABLE queue ADD COLUMN sharing TEXT;  -- JSON, see job/fair.py: how far its ready jobs are sorted by their keys; NULL for most queues
ALTER TABLE ready ADD COLUMN fair TEXT;     -- the fair key of the job, of a queue that has `sharing`; '' for none
CREATE INDEX ready_fair ON ready(queue, priority, fair, job) WHERE fair IS NOT NULL;
CREATE INDEX ready_fair_type ON ready(queue, type, priority, fair, job) WHERE fair IS NOT NULL AND type IS NOT NULL;

CREATE TABLE fair_line(                     -- of one key at one priority; forgotten once it would equal a new one
  queue INTEGER NOT NULL,
  fair TEXT NOT NULL,
  priority INTEGER NOT NULL,
  turn INTEGER NOT NULL,                    -- the virtual time at which its next job starts
  waiting INTEGER NOT NULL,                 -- jobs of it in `ready`
  first INTEGER NOT NULL,                   -- none of these has a lower id
  last INTEGER NOT NULL,                    -- one more than the id of the job that was started last, else of the first that came: of equal turns the lowest is next
  weight INTEGER NOT NULL,
  PRIMARY KEY (queue, fair, priority)
) STRICT, WITHOUT ROWID;
CREATE INDEX fair_line_next ON fair_line(queue, priority, turn, last, fair) WHERE waiting > 0;

CREATE TABLE fair_clock(                    -- the virtual time of one priority of a queue
  queue INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  now INTEGER NOT NULL,
  most INTEGER NOT NULL,                    -- the latest turn of any line
  low INTEGER NOT NULL,                     -- no line with jobs has an earlier turn
  lines INTEGER NOT NULL,                   -- how many of these there are
  PRIMARY KEY (queue, priority)
) STRICT, WITHOUT ROWID;

CREATE TABLE fair_weight(                   -- of keys that have another weight than 1
  queue INTEGER NOT NULL,
  fair TEXT NOT NULL,
  weight INTEGER NOT NULL,
  PRIMARY KEY (queue, fair)
) STRICT, WITHOUT ROWID;
