-- Weights of one queue behind one key, in order.
SELECT fair, weight FROM fair_weight WHERE queue = ? AND fair > ? ORDER BY fair LIMIT ?
