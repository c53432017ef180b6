-- The history of a queue (its concluded and cancelled jobs) is bounded in bytes, too: the tally counts its payloads and results, and a job that has
-- ended brings the size of its result.
--
-- Formats by name (stores/formats.py) may have fields from here on that no version before can read: a queue's settings `retention_jobs` and
-- `retention_bytes`, a job's extras `meta`.

ALTER TABLE queue ADD COLUMN history_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE queue SET history_bytes = (
  SELECT coalesce(sum(j.size + coalesce(length(e.result), 0)), 0) FROM ended e CROSS JOIN job j ON j.id = e.job
  WHERE e.queue = queue.id AND e.state IN ('concluded', 'cancelled') AND j.size BETWEEN 0 AND 9007199254740991
);

DROP VIEW ready_job;
DROP VIEW held_job;
DROP VIEW ready_for_job;
DROP VIEW leased_job;
DROP VIEW scheduled_job;
DROP VIEW ended_job;

CREATE VIEW ready_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, NULL AS reason, 0 AS result_size
  FROM ready s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW held_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 1 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, NULL AS reason, 0 AS result_size, s.group_key
  FROM held s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW ready_for_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, NULL AS reason, 0 AS result_size, s.worker AS line
  FROM ready_for s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW leased_job AS
  SELECT j.id, s.queue, 'leased' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, s.fence, s.secret, s.worker, s.leased_at, s.until,
         s.request, s.cancel, NULL AS ended_at, NULL AS reason, 0 AS result_size
  FROM leased s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW scheduled_job AS
  SELECT j.id, s.queue, 'scheduled' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, NULL AS fence, NULL AS secret, NULL AS worker, NULL AS leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, NULL AS ended_at, NULL AS reason, 0 AS result_size
  FROM scheduled s CROSS JOIN job j ON j.id = s.job;
CREATE VIEW ended_job AS
  SELECT j.id, s.queue, s.state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, 0 AS held, s.fence, s.secret, s.worker, s.leased_at, NULL AS until,
         NULL AS request, NULL AS cancel, s.ended_at, s.reason, coalesce(length(s.result), 0) AS result_size
  FROM ended s CROSS JOIN job j ON j.id = s.job;
