SELECT count(*) FROM budget
