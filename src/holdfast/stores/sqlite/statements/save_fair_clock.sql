INSERT OR REPLACE INTO fair_clock(queue, priority, now, most, low, lines) VALUES (?, ?, ?, ?, ?, ?)
