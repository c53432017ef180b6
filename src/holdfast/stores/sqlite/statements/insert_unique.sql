INSERT INTO unique_key(queue, key, job) VALUES (?, ?, ?)
