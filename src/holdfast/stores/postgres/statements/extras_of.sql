SELECT extras FROM job WHERE id = $1
