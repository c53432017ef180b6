INSERT OR REPLACE INTO fair_line(queue, priority, fair, turn, waiting, first, last, weight) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
