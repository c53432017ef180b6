SELECT digest, receipts FROM kept_answer WHERE scope = ? AND key = ?
