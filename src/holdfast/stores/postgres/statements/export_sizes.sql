SELECT j.id, j.size + coalesce(octet_length(e.result), 0) FROM job j LEFT JOIN ended e ON e.job = j.id WHERE j.id > $1 ORDER BY j.id LIMIT $2
