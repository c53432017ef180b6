SELECT v.*, j.type, j.content_type,
       CASE WHEN sum(j.size) OVER (ORDER BY l.fence) - j.size < 16777216 THEN j.payload END
FROM leased l JOIN leased_job v ON v.fence = l.fence JOIN job j ON j.id = l.job
WHERE l.request IS NOT NULL AND l.request = ANY($1::text[]) ORDER BY l.fence
