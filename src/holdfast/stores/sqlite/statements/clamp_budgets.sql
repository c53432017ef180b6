UPDATE budget SET blocked_until = min(blocked_until, ?1), changed_at = min(changed_at, ?2) WHERE blocked_until > ?1 OR changed_at > ?2
