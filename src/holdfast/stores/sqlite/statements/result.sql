SELECT result FROM ended WHERE job = ?
