SELECT min(try_at) FROM schedule WHERE paused = 0
