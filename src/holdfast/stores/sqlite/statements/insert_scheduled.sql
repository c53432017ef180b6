INSERT INTO scheduled(job, queue, ready_at, priority, attempt, failures, crashes) VALUES (?, ?, ?, ?, ?, ?, ?)
