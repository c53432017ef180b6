SELECT fair, weight FROM fair_weight WHERE queue = ?1
