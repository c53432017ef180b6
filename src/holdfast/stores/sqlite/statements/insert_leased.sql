INSERT INTO leased(fence, job, queue, priority, until, leased_at, ready_at, attempt, failures, crashes, cancel, secret, worker, request)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
