SELECT v.* FROM leased l JOIN leased_job v ON v.fence = l.fence WHERE l.worker <> '' AND l.worker = ANY($1::text[]) ORDER BY l.fence
