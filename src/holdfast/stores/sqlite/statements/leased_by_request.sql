SELECT v.*, j.type, j.content_type, j.payload
FROM leased l CROSS JOIN leased_job v ON v.fence = l.fence CROSS JOIN job j ON j.id = l.job
WHERE l.request IN (SELECT value FROM json_each(?)) ORDER BY l.fence LIMIT -1
