-- What callers wait for: queues that may have work, and queues that may have room. For how the rows are found, see lock_queues.sql.
SELECT q.* FROM unnest($1::text[]) g(name)
CROSS JOIN LATERAL (SELECT n.id, n.name, n.settings, n.paused, n.created_at, n.scheduled, n.ready, n.leased, n.concluded, n.dead, n.cancelled, n.bytes, n.history_bytes, n.paused_types, n.typed, n.sharing
                    FROM queue n WHERE n.name BETWEEN g.name AND g.name ORDER BY n.name DESC LIMIT 1) q
