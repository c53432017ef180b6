INSERT INTO ready(queue, priority, job, ready_at, attempt, failures, crashes, fair) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
