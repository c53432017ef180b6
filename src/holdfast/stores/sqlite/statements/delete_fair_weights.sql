DELETE FROM fair_weight WHERE queue = ?
