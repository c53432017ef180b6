DELETE FROM fair_weight WHERE queue = $1
