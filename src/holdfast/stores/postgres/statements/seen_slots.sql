-- How many replication slots keep the write-ahead log of this server.
SELECT count(*) FROM pg_replication_slots
