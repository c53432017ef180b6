-- Counters that are lower than an id in use.
SELECT 'job', (SELECT value FROM counter WHERE name = 'job'), 'is behind', max(id) FROM job HAVING max(id) > (SELECT value FROM counter WHERE name = 'job')
UNION ALL
SELECT 'fence', (SELECT value FROM counter WHERE name = 'fence'), 'is behind', max(fence) FROM leased HAVING max(fence) > (SELECT value FROM counter WHERE name = 'fence')
