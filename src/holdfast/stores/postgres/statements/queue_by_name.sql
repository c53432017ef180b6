SELECT id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes FROM queue WHERE name = $1
