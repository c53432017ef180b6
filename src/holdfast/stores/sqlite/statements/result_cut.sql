SELECT CASE WHEN ?2 = 0 OR result IS NULL THEN NULL ELSE coalesce(substr(result, 1, ?2), x'') END, length(result) FROM ended WHERE job = ?1
