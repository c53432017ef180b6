-- For how the rows are found, see lock_queues.sql.
SELECT q.id, q.name FROM unnest($1::text[]) g(name)
CROSS JOIN LATERAL (SELECT n.id, n.name FROM queue n WHERE n.name BETWEEN g.name AND g.name ORDER BY n.name DESC LIMIT 1) q ORDER BY q.id
