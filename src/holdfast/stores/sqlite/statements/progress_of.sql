SELECT job, value FROM progress WHERE job IN (SELECT value FROM json_each(?))
