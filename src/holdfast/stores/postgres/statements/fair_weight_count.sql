SELECT count(*) FROM fair_weight WHERE queue = $1
