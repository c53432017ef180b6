SELECT weight FROM fair_weight WHERE queue = $1 AND fair = $2
