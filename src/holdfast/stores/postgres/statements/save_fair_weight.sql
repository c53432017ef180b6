INSERT INTO fair_weight(queue, fair, weight) VALUES ($1, $2, $3) ON CONFLICT (queue, fair) DO UPDATE SET weight = excluded.weight
