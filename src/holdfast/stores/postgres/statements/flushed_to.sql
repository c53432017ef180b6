-- How far this server has flushed, including the previous commit on this connection. Raises on a standby.
-- Two standbys with one name may be one machine, and count as one.
SELECT pg_current_wal_flush_lsn() AS lsn,
       (SELECT count(DISTINCT application_name) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = ANY($1::text[])
          AND replay_lsn IS NOT NULL AND flush_lsn >= pg_current_wal_flush_lsn()) AS kept
