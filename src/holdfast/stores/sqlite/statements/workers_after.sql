SELECT id, name, queues, state, registered_at, types, host, pid, version FROM worker WHERE (registered_at, id) > (?, ?) ORDER BY registered_at, id LIMIT ?
