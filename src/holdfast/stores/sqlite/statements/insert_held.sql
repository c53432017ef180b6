INSERT INTO held(queue, group_key, job, priority, ready_at, attempt, failures, crashes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
