DELETE FROM held WHERE queue = $1 AND job = $2
