UPDATE fair_line SET weight = $1 WHERE queue = $2 AND fair = $3
