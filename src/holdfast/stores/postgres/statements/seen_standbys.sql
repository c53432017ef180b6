-- Every standby, and every other client that streams from this server.
SELECT application_name AS name, coalesce(state, '') AS state, coalesce(sync_state, '') AS sync_state, replay_lsn IS NOT NULL AS replays
  FROM pg_stat_replication ORDER BY 1
