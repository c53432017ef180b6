SELECT count(*) FROM schedule
