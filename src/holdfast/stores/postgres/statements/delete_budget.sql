DELETE FROM budget WHERE name = $1
