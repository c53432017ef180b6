UPDATE fair_line SET weight = ? WHERE queue = ? AND fair = ?
