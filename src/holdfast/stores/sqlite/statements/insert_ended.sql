INSERT INTO ended(job, queue, state, priority, ended_at, ready_at, leased_at, attempt, failures, crashes, reason, fence, secret, worker, result, followers)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
