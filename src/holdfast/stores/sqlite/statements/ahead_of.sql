SELECT count(*) FROM (SELECT 1 FROM ready WHERE queue = ? AND (priority, job) < (?, ?) LIMIT ?)
