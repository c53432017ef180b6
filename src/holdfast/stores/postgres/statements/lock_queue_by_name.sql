SELECT id, name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, seen_at, lows FROM queue WHERE name = $1 FOR UPDATE
