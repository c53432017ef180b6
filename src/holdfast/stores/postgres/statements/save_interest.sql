INSERT INTO interest(queue, match) VALUES ($1, $2) ON CONFLICT (queue) DO UPDATE SET match = excluded.match RETURNING 1
