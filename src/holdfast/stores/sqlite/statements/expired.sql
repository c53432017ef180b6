SELECT v.* FROM leased l CROSS JOIN leased_job v ON v.fence = l.fence WHERE l.until <= ? ORDER BY l.until LIMIT ?
