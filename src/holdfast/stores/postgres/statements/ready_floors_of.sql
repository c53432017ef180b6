-- Where each priority of these queues begins. For how the rows are found, see lock_queues.sql.
SELECT q.* FROM unnest($1::text[]) g(name)
CROSS JOIN LATERAL (SELECT n.id, n.name, n.ready_floors FROM queue n WHERE n.name BETWEEN g.name AND g.name ORDER BY n.name DESC LIMIT 1) q
