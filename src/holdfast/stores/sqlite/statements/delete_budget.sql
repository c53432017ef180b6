DELETE FROM budget WHERE name = ?
