-- The beginning of a batch: lock every queue that it names, in the order of their ids, and read the clock once they are locked.
-- Queues by $1 name, $2 id, $3 fence of a lease and $4 id of a job; $5 whether to read the standbys;
-- $6 ids of queues that are left out, because others hold them
--
-- Every batch writes a queue's row, and while an old snapshot exists none of its dead versions can be vacuumed. The newest is last in
-- each index, so the index is scanned from there: with `=` the newest would come after all of the dead ones.
WITH wanted AS MATERIALIZED (
  SELECT n.id FROM unnest($1::text[]) g(name)
  CROSS JOIN LATERAL (SELECT q.id FROM queue q WHERE q.name BETWEEN g.name AND g.name ORDER BY q.name DESC LIMIT 1) n
  UNION SELECT unnest($2::int[])
  UNION SELECT queue FROM leased WHERE fence = ANY($3::bigint[])
  UNION SELECT queue FROM job WHERE id = ANY($4::bigint[])
), locked AS MATERIALIZED (
  SELECT n.* FROM (SELECT id FROM wanted WHERE id <> ALL($6::int[]) ORDER BY id) w
  CROSS JOIN LATERAL (
    SELECT q.id, q.name, q.settings, q.paused, q.created_at, q.scheduled, q.ready, q.leased, q.concluded, q.dead, q.cancelled, q.bytes, q.history_bytes, q.paused_types, q.typed, q.sharing, q.seen_at, q.ready_floors
    FROM queue q WHERE q.id BETWEEN w.id AND w.id ORDER BY q.id DESC LIMIT 1 FOR UPDATE
  ) n
)
SELECT l.*, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now,
       pg_sequence_last_value('job_id'::regclass) AS last_job, pg_sequence_last_value('fence'::regclass) AS last_fence,
       coalesce((SELECT value FROM counter WHERE name = 'interests'), 0) AS interests,
       coalesce((SELECT value FROM counter WHERE name = 'workers'), 0) AS workers,
       CASE WHEN $5 THEN (SELECT array_agg(application_name) FROM pg_stat_replication
                          WHERE state = 'streaming' AND sync_state <> 'async' AND replay_lsn IS NOT NULL) END AS standbys,
       CASE WHEN $5 THEN current_setting('synchronous_standby_names') END AS names
FROM (VALUES (1)) one(x) LEFT JOIN locked l ON true
