SELECT value FROM counter WHERE name = 'interests'
