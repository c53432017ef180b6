SELECT v.name, v.key, u.job FROM unnest($1::text[], $2::text[]) v(name, key)
JOIN queue q ON q.name = v.name JOIN unique_key u ON u.queue = q.id AND u.key = v.key
