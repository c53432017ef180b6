-- Ready jobs that only one registered worker may lease, in an order of their own for each worker, so that others need not skip them.

CREATE TABLE ready_for(
  worker TEXT NOT NULL,
  queue INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  job INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  PRIMARY KEY (worker, queue, priority, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX ready_for_queue ON ready_for(queue, priority, job);

CREATE VIEW ready_for_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, NULL AS reason, s.worker AS line
  FROM ready_for s CROSS JOIN job j ON j.id = s.job;
