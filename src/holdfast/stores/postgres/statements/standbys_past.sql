-- On how many of these standbys everything up to $1 is flushed.
SELECT count(DISTINCT application_name) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = ANY($2::text[]) AND flush_lsn >= $1
