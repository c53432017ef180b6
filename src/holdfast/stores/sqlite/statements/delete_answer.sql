DELETE FROM kept_answer WHERE scope = ? AND key = ?
