SELECT * FROM leased_job WHERE worker IN (SELECT value FROM json_each(?)) ORDER BY fence
