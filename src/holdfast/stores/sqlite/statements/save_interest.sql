INSERT INTO interest(queue, match) VALUES (?, ?) ON CONFLICT (queue) DO UPDATE SET match = excluded.match
