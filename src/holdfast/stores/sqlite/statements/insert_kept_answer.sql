INSERT INTO kept_answer(scope, key, digest, receipts, first_job, last_job, at) VALUES (?, ?, ?, ?, ?, ?, ?)
