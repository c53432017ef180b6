SELECT weight FROM fair_weight WHERE queue = ? AND fair = ?
