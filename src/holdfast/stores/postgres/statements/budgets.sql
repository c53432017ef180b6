SELECT name, units, per_ms, burst, blocked_until, created_at, changed_at FROM budget ORDER BY name
