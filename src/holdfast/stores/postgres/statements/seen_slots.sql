-- How many replication slots keep the write-ahead log of this server.
SELECT count(*) AS slots FROM pg_replication_slots
