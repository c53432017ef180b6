DELETE FROM fair_clock WHERE queue = ?
