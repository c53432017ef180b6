-- The standbys in sync, and the server's setting of which ones a commit waits for.
SELECT (SELECT array_agg(application_name) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state <> 'async' AND replay_lsn IS NOT NULL) AS standbys,
       current_setting('synchronous_standby_names') AS names
