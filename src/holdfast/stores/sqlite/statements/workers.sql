SELECT id, name, queues, state, registered_at, types FROM worker ORDER BY registered_at, id
