-- The beginning of a batch: lock every queue that it names, in the order of their numbers, and read the clock once they are held.
-- $1 names, $2 numbers, $3 fences and $4 jobs whose queues are meant, $5 whether standbys are asked about
WITH wanted AS MATERIALIZED (
  SELECT id FROM queue WHERE name = ANY($1::text[])
  UNION SELECT unnest($2::int[])
  UNION SELECT queue FROM leased WHERE fence = ANY($3::bigint[])
  UNION SELECT queue FROM job WHERE id = ANY($4::bigint[])
), locked AS MATERIALIZED (
  SELECT q.id, q.name, q.settings, q.paused, q.created_at, q.scheduled, q.ready, q.leased, q.concluded, q.dead, q.cancelled, q.bytes, q.seen_at, q.lows FROM queue q
  WHERE q.id = ANY(ARRAY(SELECT id FROM wanted)) ORDER BY q.id FOR UPDATE
)
SELECT l.*, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now,
       pg_sequence_last_value('job_id'::regclass) AS last_job, pg_sequence_last_value('fence'::regclass) AS last_fence,
       (SELECT value FROM counter WHERE name = 'interests') AS interests, (SELECT value FROM counter WHERE name = 'workers') AS workers,
       CASE WHEN $5 THEN (SELECT array_agg(application_name) FROM pg_stat_replication
                          WHERE state = 'streaming' AND sync_state <> 'async') END AS standbys,
       CASE WHEN $5 THEN current_setting('synchronous_standby_names') END AS names
FROM (VALUES (1)) one(x) LEFT JOIN locked l ON true
