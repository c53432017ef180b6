INSERT INTO budget(name, units, per_ms, burst, blocked_until, created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET units = excluded.units, per_ms = excluded.per_ms, burst = excluded.burst, blocked_until = excluded.blocked_until, changed_at = excluded.changed_at
