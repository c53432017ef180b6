INSERT OR REPLACE INTO fair_weight(queue, fair, weight) VALUES (?, ?, ?)
