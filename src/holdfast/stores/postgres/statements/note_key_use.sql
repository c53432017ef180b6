UPDATE access_key SET used_at = greatest(coalesce(used_at, 0), $2) WHERE id = $1
