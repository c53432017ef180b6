INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
