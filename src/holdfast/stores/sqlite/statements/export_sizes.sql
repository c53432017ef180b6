SELECT j.id, j.size + coalesce(length(e.result), 0) FROM job j LEFT JOIN ended e ON e.job = j.id WHERE j.id > ? ORDER BY j.id LIMIT ?
