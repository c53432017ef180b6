DELETE FROM ready_for WHERE queue = $1 AND job = $2
