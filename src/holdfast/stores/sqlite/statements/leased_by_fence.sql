SELECT * FROM leased_job WHERE fence IN (SELECT value FROM json_each(?))
