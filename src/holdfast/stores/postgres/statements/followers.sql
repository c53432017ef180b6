SELECT followers FROM ended WHERE job = $1
