DELETE FROM kept_answer WHERE scope = CAST(? AS TEXT) AND key = CAST(? AS TEXT)
