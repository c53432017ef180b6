SELECT job FROM unique_key WHERE queue = ? AND key = ?
