SELECT coalesce((SELECT value FROM counter WHERE name = 'keys'), 0)
