-- The state of the standbys for operators. Bytes behind: of the slowest synchronous standby.
SELECT current_setting('synchronous_standby_names') AS names,
       (SELECT array_agg(application_name) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state <> 'async' AND replay_lsn IS NOT NULL) AS voters,
       (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming') AS streaming,
       (SELECT max(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn))::bigint FROM pg_stat_replication
          WHERE state = 'streaming' AND sync_state <> 'async' AND replay_lsn IS NOT NULL) AS lag_bytes,
       pg_database_size(current_database()) AS bytes
