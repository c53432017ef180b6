INSERT INTO ready_for(worker, queue, priority, job, ready_at, attempt, failures, crashes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
