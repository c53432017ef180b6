-- On how many of these standbys everything up to $1 is flushed. Who only collects WAL replays nothing, and nobody can promote it: pg_receivewal, and a base backup
-- that is being taken, which may bear the standby's name.
SELECT count(DISTINCT application_name) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = ANY($2::text[]) AND replay_lsn IS NOT NULL AND flush_lsn >= $1
