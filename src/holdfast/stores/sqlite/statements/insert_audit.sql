INSERT INTO audit(id, at, action, queue, target, note, outcome, done, refused, who, address, door, run, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
