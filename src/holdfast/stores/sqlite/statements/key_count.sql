SELECT count(*) FROM access_key
