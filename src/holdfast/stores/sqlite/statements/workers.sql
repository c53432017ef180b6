SELECT id, name, queues, state, registered_at FROM worker ORDER BY registered_at, id
