SELECT id, name, queues, state, registered_at, types, host, pid, version FROM worker ORDER BY registered_at, id
