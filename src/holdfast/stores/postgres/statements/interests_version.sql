SELECT coalesce((SELECT value FROM counter WHERE name = 'interests'), 0)
