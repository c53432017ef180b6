INSERT INTO fair_line(queue, priority, fair, turn, waiting, first, last, weight) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (queue, fair, priority) DO UPDATE SET turn = excluded.turn, waiting = excluded.waiting, first = excluded.first, last = excluded.last, weight = excluded.weight
