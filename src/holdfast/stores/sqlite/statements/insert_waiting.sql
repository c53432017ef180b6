INSERT INTO waiting(account, job, queue, priority, ready_at, attempt, failures, crashes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
