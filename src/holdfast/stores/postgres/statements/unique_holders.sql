-- For how the rows of the queues are found, see lock_queues.sql.
SELECT v.name, v.key, u.job FROM unnest($1::text[], $2::text[]) v(name, key)
CROSS JOIN LATERAL (SELECT n.id FROM queue n WHERE n.name BETWEEN v.name AND v.name ORDER BY n.name DESC LIMIT 1) q
JOIN unique_key u ON u.queue = q.id AND u.key = v.key
