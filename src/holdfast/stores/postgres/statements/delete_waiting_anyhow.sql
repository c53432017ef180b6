DELETE FROM waiting WHERE queue = $1 AND job = $2
