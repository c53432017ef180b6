SELECT min(ready_at) FROM scheduled
