DELETE FROM unique_key WHERE queue = ? AND key = ? AND job = ?
