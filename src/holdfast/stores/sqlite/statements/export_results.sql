SELECT job, result, followers FROM ended WHERE job IN (SELECT value FROM json_each(?))
