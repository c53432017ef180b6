SELECT id, name, queues, state, registered_at, (SELECT value FROM counter WHERE name = 'workers') FROM worker ORDER BY registered_at, id
