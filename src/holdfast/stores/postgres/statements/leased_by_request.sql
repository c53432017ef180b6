SELECT v.*, j.type, j.content_type, j.payload
FROM leased l JOIN leased_job v ON v.fence = l.fence JOIN job j ON j.id = l.job
WHERE l.request IS NOT NULL AND l.request = ANY($1::text[]) ORDER BY l.fence
