-- How many of these standbys have flushed everything up to $1. A WAL collector replays nothing and can't be promoted: pg_receivewal,
-- or a base backup in progress, which may have the standby's name.
SELECT count(DISTINCT application_name) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = ANY($2::text[]) AND replay_lsn IS NOT NULL AND flush_lsn >= $1
