-- The history of a queue (its concluded and cancelled jobs) is bounded in bytes, too: the tally counts its payloads and results, and a job that has
-- ended brings the size of its result.
--
-- Formats by name (stores/formats.py) may have fields from here on that no version before can read: a queue's settings `retention_jobs` and
-- `retention_bytes`, a job's extras `meta`.
--
-- A node of a version before would move jobs without counting these bytes.
-- locks: queue

ALTER TABLE queue ADD COLUMN history_bytes bigint NOT NULL DEFAULT 0;
UPDATE queue q SET history_bytes = h.bytes FROM (
  SELECT e.queue, sum(j.size + coalesce(octet_length(e.result), 0))::bigint AS bytes FROM ended e JOIN job j ON j.id = e.job
  WHERE e.state IN ('concluded', 'cancelled') AND j.size BETWEEN 0 AND 9007199254740991 GROUP BY e.queue
) h WHERE h.queue = q.id;

DROP VIEW ready_job;
DROP VIEW held_job;
DROP VIEW ready_for_job;
DROP VIEW leased_job;
DROP VIEW scheduled_job;
DROP VIEW ended_job;

CREATE VIEW ready_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, NULL::text AS reason, 0 AS result_size
  FROM ready s JOIN job j ON j.id = s.job;
CREATE VIEW held_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, true AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, NULL::text AS reason, 0 AS result_size, s.group_key
  FROM held s JOIN job j ON j.id = s.job;
CREATE VIEW ready_for_job AS
  SELECT j.id, s.queue, 'ready' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, NULL::text AS reason, 0 AS result_size, s.worker AS line
  FROM ready_for s JOIN job j ON j.id = s.job;
CREATE VIEW leased_job AS
  SELECT j.id, s.queue, 'leased' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, s.fence, s.secret, s.worker, s.leased_at,
         s.until, s.request, s.cancel, NULL::bigint AS ended_at, NULL::text AS reason, 0 AS result_size
  FROM leased s JOIN job j ON j.id = s.job;
CREATE VIEW scheduled_job AS
  SELECT j.id, s.queue, 'scheduled' AS state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, NULL::bigint AS fence, NULL::bytea AS secret, NULL::text AS worker, NULL::bigint AS leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, NULL::bigint AS ended_at, NULL::text AS reason, 0 AS result_size
  FROM scheduled s JOIN job j ON j.id = s.job;
CREATE VIEW ended_job AS
  SELECT j.id, s.queue, s.state, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at,
         s.ready_at, j.extras, false AS held, s.fence, s.secret, s.worker, s.leased_at,
         NULL::bigint AS until, NULL::text AS request, NULL::boolean AS cancel, s.ended_at, s.reason, coalesce(octet_length(s.result), 0) AS result_size
  FROM ended s JOIN job j ON j.id = s.job;

UPDATE schema_version SET min_compatible = 9;
