DELETE FROM unique_key WHERE queue = $1 AND job = $2
