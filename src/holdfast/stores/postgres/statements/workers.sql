SELECT id, name, queues, state, registered_at, types, host, pid, version, coalesce((SELECT value FROM counter WHERE name = 'workers'), 0) FROM worker ORDER BY registered_at, id
