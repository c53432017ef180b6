INSERT INTO group_place(queue, group_key, job) VALUES (?, ?, ?)
