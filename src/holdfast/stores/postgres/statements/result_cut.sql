SELECT CASE WHEN $2::int > 0 THEN substr(result, 1, $2) END, length(result) FROM ended WHERE job = $1
