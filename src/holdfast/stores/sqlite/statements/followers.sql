SELECT followers FROM ended WHERE job = ?
