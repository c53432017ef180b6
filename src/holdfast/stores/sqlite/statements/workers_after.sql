SELECT id, name, queues, state, registered_at, types FROM worker WHERE (registered_at, id) > (?, ?) ORDER BY registered_at, id LIMIT ?
