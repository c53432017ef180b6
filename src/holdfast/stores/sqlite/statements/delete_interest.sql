DELETE FROM interest WHERE queue = ?
