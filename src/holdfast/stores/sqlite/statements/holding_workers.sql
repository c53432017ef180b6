SELECT DISTINCT worker FROM leased WHERE worker IN (SELECT value FROM json_each(?))
