DELETE FROM unique_key WHERE queue = ? AND job = ?
