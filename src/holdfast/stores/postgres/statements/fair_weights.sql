-- Weights of one queue behind one key, in order.
SELECT fair, weight FROM fair_weight WHERE queue = $1 AND fair > $2 ORDER BY fair LIMIT $3
