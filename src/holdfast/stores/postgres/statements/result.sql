SELECT result, length(result) FROM ended WHERE job = $1
